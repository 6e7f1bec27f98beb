"""Every cell's gradients: those of the plain cell without memory, the same on every engine, and the true ones."""

from typing import Any

import pytest
import torch
from cell_grid import (
    CELLS,
    Cell,
    close,
    each_once,
    goes,
    grid,
    kinds,
    layers,
    make_input,
    named,
    same,
    warm,
)
from torch.nn.utils.rnn import PackedSequence

import momentum_exp as mx


def with_gradients(layer: mx.Recurrent, x: Any, state: mx.State | None = None, of: str = "") -> dict[str, torch.Tensor]:
    """Output, last state and the gradients of a loss of all these, or of the one called `of`."""
    leaf = (x.data if isinstance(x, PackedSequence) else x).clone().requires_grad_()
    leaves = {"x": leaf, **dict(layer.named_parameters())}
    if state is not None:
        state = state.map(lambda tensor: tensor.clone().requires_grad_(tensor.dtype != torch.int64))
        carried = {**state.recurrence, **state.dynamics}
        leaves |= {f"begin {name}": tensor for name, tensor in carried.items() if tensor.requires_grad}
    found = named(*layer(PackedSequence(leaf, *x[1:]) if isinstance(x, PackedSequence) else leaf, state))
    kept = [tensor for name, tensor in found.items() if tensor.requires_grad and of in ("", name)]
    flat = torch.cat([(torch.view_as_real(t) if t.is_complex() else t).flatten() for t in kept])
    loss = (flat * torch.linspace(-1, 1, len(flat), dtype=flat.dtype)).sin().sum()
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return found | {f"gradient of {name}": grad for name, grad in zip(leaves, gradients, strict=True)}


@grid([cell for cell in CELLS if cell.dynamics == "identity" and goes(cell.recurrence, "momentum")])
@pytest.mark.parametrize(
    "memoryless", [{"dynamics": "momentum", "mu": 0.0}, {"dynamics": "nesterov", "restart": 1}], ids=str
)
@layers
@kinds
def test_without_memory_and_with_step_1_it_is_the_plain_cell(
    cell: Cell, memoryless: dict[str, Any], num_layers: int, kind: str
) -> None:
    """Bit for bit, gradients included."""
    plain, other = (
        cell.layer(num_layers, batch_first=True),
        cell.layer(num_layers, batch_first=True, **memoryless, s=1.0),
    )
    expected, found = (with_gradients(layer, make_input(kind), of="y") for layer in (plain, other))
    same({name: found[name] for name in expected}, expected)


@grid([cell for cell in CELLS if cell.engine != "reference"])
@layers
@kinds
@pytest.mark.parametrize("carried", [False, True], ids=["from zero", "carried"])
def test_every_engine_equals_the_reference(cell: Cell, num_layers: int, kind: str, carried: bool) -> None:
    layer, truth = (cell.layer(num_layers, batch_first=True, engine=engine) for engine in (cell.engine, "reference"))
    state = warm(truth) if carried else None
    close(with_gradients(layer, make_input(kind), state), with_gradients(truth, make_input(kind), state))


@grid([cell for cell in CELLS if cell.engine == "reference"])
@each_once
def test_gradcheck(cell: Cell, num_layers: int, kind: str) -> None:
    """Of output and state in input, carried state and all parameters; other engines' gradients equal these."""
    layer, x = cell.layer(num_layers, batch_first=True), make_input(kind, 3)
    began, parameters = warm(layer), dict(layer.named_parameters())
    state = {
        name: t for part in (began.recurrence, began.dynamics) for name, t in part.items() if t.dtype != torch.int64
    }
    for leaf in (x.data, *state.values()):
        leaf.requires_grad_()

    def function(data: torch.Tensor, *tensors: torch.Tensor) -> list[torch.Tensor]:
        given = dict(zip(state, tensors, strict=False))
        begin = mx.State(
            *({n: given.get(n, t) for n, t in part.items()} for part in (began.recurrence, began.dynamics))
        )
        weights = dict(zip(parameters, tensors[len(state) :], strict=True))
        packed = PackedSequence(data, *x[1:]) if kind == "packed" else data
        ends = named(*torch.func.functional_call(layer, weights, (packed, begin)))
        return [tensor for tensor in ends.values() if tensor.requires_grad]

    assert torch.autograd.gradcheck(function, [x.data, *state.values(), *parameters.values()], fast_mode=True)
