"""Layers that the compiled kernel can do, with any of the engines, and how their results are compared."""

import torch

import momentum_exp as mx

RECURRENCES = {
    "lstm": {},
    "srlstm_released": {"restart": 3, "s": 0.7},
    "rnn": {"activation": "tanh"},
    "rnn, relu": {"activation": "relu"},
    "rnn, sigmoid": {"activation": "sigmoid"},
    "dtriv": {},
}
DYNAMICS = {
    "identity": {},
    "momentum": {"mu": 0.6, "s": 0.8},
    "momentum, mu 0": {"mu": 0.0, "s": 0.8},
    "nesterov": {"s": 0.9},
    "nesterov, restart 3": {"s": 0.9, "restart": 3},
    "rmsprop": {"s": 0.6, "beta": 0.5},
    "adam": {"mu": 0.5, "s": 0.6, "beta": 0.5},
    "adam, eps paper": {"mu": 0.5, "s": 0.6, "beta": 0.9, "eps": "paper"},
}


def layers(recurrence, dynamics, sizes, dtype=torch.float64, engines=("reference", "native"), **options):
    """The same layer with each of the engines."""
    keywords = {"recurrence": recurrence.split(",")[0], "dynamics": dynamics.split(",")[0], "dtype": dtype, **options}
    keywords |= {**RECURRENCES[recurrence], **DYNAMICS[dynamics]}
    made = [mx.Recurrent(*sizes, engine=engine, **keywords) for engine in engines]
    for layer in made[1:]:
        layer.load_state_dict(made[0].state_dict())
    return made


def compare(result, truth, tolerance=1e-10):
    assert result.keys() == truth.keys()
    for name, tensor in truth.items():
        scale = max(1.0, tensor.abs().max().item())
        torch.testing.assert_close(
            result[name], tensor, rtol=0, atol=tolerance * scale, msg=lambda m, n=name: f"{n}: {m}"
        )
