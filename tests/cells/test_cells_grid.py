"""Invariants of every cell: recurrence x dynamics x engine, with 1 and 2 layers, batch first and packed.

Recurrences, dynamics and engines are found, not listed: a new one is tested here without an edit.
"""

import copy
from typing import Any, NamedTuple

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

import momentum_exp as mx
from momentum_exp.cells import dynamics_names, recurrence_names
from momentum_exp.cells.options import build, learnable, recurrences
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


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        atol = 1e-12 * max(1.0, tensor.abs().max().item())
        torch.testing.assert_close(found[name], tensor, rtol=1e-10, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)] == []


@every_cell
@layers
@kinds
def test_shapes(cell: Cell, num_layers: int, kind: str) -> None:
    layer, x = cell.layer(num_layers, batch_first=True), make_input(kind)
    y, state = layer(x)
    assert layer.engine == cell.engine
    assert layer.output_size == layer.recurrence.width(H)
    if kind == "packed":
        assert (y.data.shape, y.batch_sizes.tolist()) == ((sum(LENGTHS), layer.output_size), x.batch_sizes.tolist())
    else:
        assert y.shape == (B, T, layer.output_size)
        h_BH = state.h[-1]
        assert torch.equal(y[:, -1], torch.cat([h_BH.real, h_BH.imag], -1) if h_BH.is_complex() else h_BH)
    assert y.data.dtype == torch.float64
    assert tuple(state.recurrence) == layer.recurrence.states
    assert tuple(state.dynamics) == layer.dynamics.states
    assert all(tensor.shape[:2] == (num_layers, B) for tensor in [*state.recurrence.values(), *state.dynamics.values()])
    assert state.h.shape == (num_layers, B, H)
    assert all(tensor.shape == (num_layers, B, H) for tensor in state)
    for name, tensor in state.dynamics.items():
        units = () if name == "k" else (layer.recurrence.gate_blocks * H,)
        assert tensor.shape == (num_layers, B, *units)


@every_cell
@layers
def test_causality(cell: Cell, num_layers: int) -> None:
    layer, x_BTD = cell.layer(num_layers, batch_first=True), make_input("batch first")
    y_BTH, _ = layer(x_BTD)
    for t in range(T - 1):
        changed_BTD = torch.cat([x_BTD[:, : t + 1], x_BTD[:, t + 1 :] + 1], 1)
        other_BTH, _ = layer(changed_BTD)
        assert torch.equal(other_BTH[:, : t + 1], y_BTH[:, : t + 1])
        assert not torch.equal(other_BTH[:, t + 1], y_BTH[:, t + 1])


@every_cell
@layers
def test_calls_that_carry_the_state_equal_one_call(cell: Cell, num_layers: int) -> None:
    layer, x_BTD = cell.layer(num_layers, batch_first=True), make_input("batch first")
    parts, state = [], None
    for chunk_BTD in x_BTD.split([1, 3, 1], 1):
        y_BTH, state = layer(chunk_BTD, state)
        parts.append(y_BTH)
    close(named(torch.cat(parts, 1), state), named(*layer(x_BTD)))


@every_cell
@layers
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both directions"])
def test_packed_sequences_equal_each_sequence_alone(cell: Cell, num_layers: int, bidirectional: bool) -> None:
    """Each from a state of its own; each direction starts at the sequence's own end."""
    layer, x = cell.layer(num_layers, bidirectional=bidirectional), make_input("packed")
    begin = warm(layer)
    y, end = layer(x, begin)
    sequences, _ = pad_packed_sequence(x)
    y_TBH, lengths = pad_packed_sequence(y)
    assert tuple(lengths.tolist()) == LENGTHS
    for row, length in enumerate(LENGTHS):
        alone = named(*layer(sequences[:length, row], begin[:, row]))
        close(named(y_TBH[:length, row], end[:, row]), alone)


@every_cell
def test_the_reverse_direction_is_the_forward_layer_on_the_reversed_input(cell: Cell) -> None:
    both, single = cell.layer(bidirectional=True, batch_first=True), cell.layer(batch_first=True)
    weights = both.state_dict()
    single.load_state_dict({n.replace("_reverse", ""): w for n, w in weights.items() if "_reverse" in n})
    x_BTD = make_input("batch first")
    y_BTH, end = both(x_BTD)
    assert y_BTH.shape[-1] == 2 * single.output_size
    close(named(y_BTH[..., single.output_size :].flip(1), end[1:]), named(*single(x_BTD.flip(1))))


@every_cell
def test_layouts(cell: Cell) -> None:
    x_BTD = make_input("batch first")
    first = cell.layer(batch_first=True)
    expected = named(*first(x_BTD))
    layer = cell.layer()
    y_TBH, end = layer(x_BTD.transpose(0, 1))
    close(named(y_TBH.transpose(0, 1), end), expected)
    y_TH, alone = layer(x_BTD[1])
    close(named(y_TH, alone), named(y_TBH[:, 1], end[:, 1]))


@every_cell
def test_a_plain_state_means_zero_momentum(cell: Cell) -> None:
    layer, x_BTD = cell.layer(2, batch_first=True), make_input("batch first")
    began = warm(layer)
    zero = began.map(torch.zeros_like)
    whole = mx.State({**zero.recurrence, **began.public()}, zero.dynamics)
    close(named(*layer(x_BTD, tuple(began))), named(*layer(x_BTD, whole)))


@every_cell
@layers
def test_a_copy_and_loaded_weights_are_bit_equal(cell: Cell, num_layers: int) -> None:
    layer, x_BTD = cell.layer(num_layers, batch_first=True), make_input("batch first")
    expected = named(*layer(x_BTD))
    same(named(*copy.deepcopy(layer)(x_BTD)), expected)
    other = cell.layer(num_layers, batch_first=True)
    other.reset_parameters()
    assert not torch.equal(other(x_BTD)[0], expected["y"])
    other.load_state_dict(layer.state_dict())
    same(named(*other(x_BTD)), expected)


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


@grid([cell for cell in CELLS if cell.engine == "reference" and learnable(cell.dynamics)])
@each_once
def test_a_learned_dynamics_starts_as_the_fixed_one(cell: Cell, num_layers: int, kind: str) -> None:
    learn_per = "gate" if num_layers == 1 else "layer"
    fixed = cell.layer(num_layers, batch_first=True)
    learned = cell.layer(num_layers, batch_first=True, learn=learnable(cell.dynamics), learn_per=learn_per)
    close(named(*learned(make_input(kind))), named(*fixed(make_input(kind))))


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
