"""Every engine computes the same function as the reference loop: outputs, last state and all gradients.

Of the LSTM, whatever its options and shape; tests/cells/test_cells_grid_gradients.py has every recurrence.
"""

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from whole_result import everything

import momentum_exp as mx

DYNAMICS = {
    "identity": {},
    "momentum": {"mu": 0.6, "s": 0.8},
    "momentum, mu 0.99": {"mu": 0.99, "s": 0.6},
    "momentum, mu 0": {"mu": 0.0, "s": 0.8},
    "nesterov": {"s": 0.9},
    "nesterov, restart 1": {"s": 0.9, "restart": 1},
    "nesterov, restart 3": {"s": 0.9, "restart": 3},
    "rmsprop": {"s": 0.6, "beta": 0.5},
    "adam": {"mu": 0.5, "s": 0.6, "beta": 0.5},
    "adam, eps paper": {"mu": 0.5, "s": 0.6, "beta": 0.9, "eps": "paper"},
}
SHAPES = {
    "one layer": {},
    "both directions": {"bidirectional": True},
    "two layers, both directions": {"num_layers": 2, "bidirectional": True},
    "no bias": {"bias": False},
}
D, H = 3, 4


ENGINES = ("library", "native")


def pair_of_layers(dynamics, shape, engine, dtype=torch.float64):
    """The same layer with the reference and with another engine."""
    keywords = {"dynamics": dynamics.split(",")[0], "dtype": dtype, **DYNAMICS[dynamics], **SHAPES[shape]}
    layers = [mx.Recurrent(D, H, engine=name, **keywords) for name in ("reference", engine)]
    layers[1].load_state_dict(layers[0].state_dict())
    return layers


def warm_state(layer, batch):
    """A state as a former call would leave it, as leaves that take gradients."""
    first = layer(torch.randn(5, batch, D, dtype=layer.weight_hh_l0.dtype))[1]
    return first.detach().map(lambda t: t.requires_grad_() if t.is_floating_point() else t)


def make_input(kind):
    """Input of one kind, and its batch size."""
    steps, batch = {"usual": (7, 3), "T 1": (1, 3), "batch 1": (6, 1), "packed": (7, 4)}[kind]
    x_TBD = torch.randn(steps, batch, D, dtype=torch.float64)
    if kind == "packed":
        packed = pack_padded_sequence(x_TBD, torch.tensor([3, 7, 1, 7]), enforce_sorted=False)
        return PackedSequence(packed.data.requires_grad_(), *packed[1:]), batch
    return x_TBD.requires_grad_(), batch


@pytest.mark.parametrize("carried", [False, True], ids=["from zero", "carried"])
@pytest.mark.parametrize("kind", ["usual", "T 1", "batch 1", "packed"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("engine", ENGINES)
def test_float64(engine, dynamics, shape, kind, carried):
    torch.manual_seed(0)
    reference, other = pair_of_layers(dynamics, shape, engine)
    x, batch = make_input(kind)
    state = warm_state(reference, batch) if carried else None
    truth, result = everything(reference, x, state), everything(other, x, state)
    assert truth.keys() == result.keys()
    for name, tensor in truth.items():
        scale = tensor.abs().max().item() if tensor.is_floating_point() else 0
        torch.testing.assert_close(
            result[name], tensor, rtol=1e-10, atol=1e-12 * max(1, scale), msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("kind", ["dense", "packed"])
@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("engine", ENGINES)
def test_float32_rounds_no_worse_than_the_loop(engine, dynamics, kind):
    """Error against the float64 loop: at most 5 times that of the float32 loop (1 eps at least).

    The biases' gradients are the exception: these kernels add their T B terms one after the other, as torch.nn.LSTM
    does, so their bound is at least T B eps.
    """
    torch.manual_seed(1)
    reference, other = pair_of_layers(dynamics, "one layer", engine, torch.float32)
    exact, _ = pair_of_layers(dynamics, "one layer", engine)
    exact.load_state_dict(reference.state_dict())
    steps, batch = 200, 5
    x_TBD, state = torch.randn(steps, batch, D), warm_state(reference, batch)
    lengths = torch.tensor([steps, steps, 90, 40, 3])

    def run(layer, dtype):
        x = x_TBD.to(dtype)
        if kind == "packed":
            packed = pack_padded_sequence(x, lengths)
            x = PackedSequence(packed.data.requires_grad_(), packed.batch_sizes)
        else:
            x.requires_grad_()
        leaves = state.to(dtype=dtype).map(lambda t: t.detach().requires_grad_(t.is_floating_point()))
        results = everything(layer, x, leaves)
        return {name: tensor.double() for name, tensor in results.items() if tensor.is_floating_point()}

    truth, loop, fused = run(exact, torch.float64), run(reference, torch.float32), run(other, torch.float32)
    eps = torch.finfo(torch.float32).eps
    for name, tensor in truth.items():
        error, allowed = (fused[name] - tensor).norm(), 5 * max((loop[name] - tensor).norm(), eps * tensor.norm())
        if name.startswith("bias"):
            allowed = max(allowed, steps * batch * eps * tensor.norm())
        assert error <= allowed, name


@pytest.mark.parametrize("dynamics", ["nesterov", "momentum, mu 0.99"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_filter_rounds_once_not_at_every_step(engine, dynamics):
    """Where v gathers rounding errors over the steps, a filtered input is nearer to float64 than the loop."""
    torch.manual_seed(0)
    reference, other = pair_of_layers(dynamics, "one layer", engine, torch.float32)
    exact, _ = pair_of_layers(dynamics, "one layer", engine)
    exact.load_state_dict(reference.state_dict())
    x_TBD = torch.randn(400, 50, D)
    truth, loop, fused = exact(x_TBD.double())[1].v, reference(x_TBD)[1].v, other(x_TBD)[1].v
    assert (fused - truth).norm() < 0.5 * (loop - truth).norm()
