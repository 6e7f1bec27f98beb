"""Small layers of gated recurrences in float64, and weights that go from one to another."""

import math

import torch

import momentum_exp as mx

D, H, T, B = 3, 4, 6, 2


def make(recurrence, **keywords):
    return mx.Recurrent(D, H, recurrence=recurrence, dtype=torch.float64, **keywords)


def copy_into(layer, other, **values):
    """The state_dict of `other` in `layer`, whose further parameters get `values`."""
    extra = {name: torch.full_like(layer.state_dict()[name], value) for name, value in values.items()}
    layer.load_state_dict({**other.state_dict(), **extra})


def phased(period=2.0, shift=0.3, **keywords):
    """A phased LSTM with the same period and shift in every unit and layer."""
    layer = make("phased", **keywords)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith("log_period"):
                parameter.fill_(math.log(period))
            elif name.startswith("shift"):
                parameter.fill_(shift)
    return layer
