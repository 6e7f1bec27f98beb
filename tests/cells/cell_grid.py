"""Every cell: recurrence x dynamics x engine, its small layers and inputs, and how two results are compared.

Recurrences, dynamics and engines are found, not listed: a new one is tested without an edit.
"""

from typing import Any, NamedTuple

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import momentum_exp as mx
from momentum_exp.cells import dynamics_names, recurrence_names
from momentum_exp.cells.options import build, recurrences
from momentum_exp.engines import engines

D, H, T, B = 2, 4, 5, 3  # H is even and a power of two: some recurrences ask for that
LENGTHS = (3, 1, T)  # of packed sequences; sorting them and going back are two permutations

RECURRENCES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in recurrence_names()),
    *(("rnn", {"activation": activation}) for activation in ("relu", "sigmoid")),
]
DYNAMICS: list[tuple[str, dict[str, Any]]] = [*((name, {}) for name in dynamics_names()), ("nesterov", {"restart": 3})]


class Cell(NamedTuple):
    recurrence: str
    dynamics: str
    engine: str
    options: dict[str, Any]

    def layer(self, num_layers: int = 1, **changed: Any) -> mx.Recurrent:
        """The same weights in each call, g away from 0, where normalised dynamics jump, and relu open."""
        torch.manual_seed(0)
        keywords = {**self._asdict(), **changed}
        options = keywords.pop("options")
        layer = mx.Recurrent(D, H, num_layers, dtype=torch.float64, **keywords, **options)
        with torch.no_grad():
            for name, parameter in layer.named_parameters():
                if name.startswith("weight_ih"):
                    parameter.copy_(torch.randn_like(parameter))
                elif name.startswith("bias_ih"):
                    parameter.abs_().add_(0.5)
        return layer


def goes(recurrence: str, dynamics: str) -> bool:
    only = recurrences()[recurrence].dynamics
    return not only or dynamics in only


CELLS = [
    Cell(recurrence, dynamics, engine, {**own, **options})
    for recurrence, own in RECURRENCES
    for dynamics, options in DYNAMICS
    if goes(recurrence, dynamics)
    for engine in engines()
    if not engines()[engine].refusal(*build(recurrence, dynamics, {**own, **options}), False, "cpu")
]


def grid(cells: list[Cell]) -> Any:
    names = ["-".join([*cell[:3], *(f"{name}={value}" for name, value in cell.options.items())]) for cell in cells]
    return pytest.mark.parametrize("cell", cells, ids=names)


every_cell = grid(CELLS)
layers = pytest.mark.parametrize("num_layers", [1, 2])
kinds = pytest.mark.parametrize("kind", ["batch first", "packed"])
each_once = pytest.mark.parametrize(("num_layers", "kind"), [(1, "packed"), (2, "batch first")])


def data(*shape: int) -> torch.Tensor:
    x = torch.randn(*shape, dtype=torch.float64)
    return x + 0.5 * x.sign()


def make_input(kind: str, steps: int = T) -> Any:
    torch.manual_seed(1)
    if kind == "packed":
        return pack_sequence([data(min(length, steps), D) for length in LENGTHS], enforce_sorted=False)
    return data(B, steps, D)


def warm(layer: mx.Recurrent) -> mx.State:
    """A state as an earlier call leaves it."""
    torch.manual_seed(2)
    return layer(data(B, 3, D) if layer.batch_first else data(3, B, D))[1].detach()


def named(y: Any, end: mx.State) -> dict[str, torch.Tensor]:
    """Output and last state by name."""
    return {"y": y.data if isinstance(y, PackedSequence) else y, **end.recurrence, **end.dynamics}


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        atol = 1e-12 * max(1.0, tensor.abs().max().item())
        torch.testing.assert_close(found[name], tensor, rtol=1e-10, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)] == []
