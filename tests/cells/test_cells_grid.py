"""Invariants of every cell on every engine, with 1 and 2 layers: shapes, causality, states, layouts, copies."""

import copy

import pytest
import torch
from cell_grid import (
    CELLS,
    LENGTHS,
    B,
    Cell,
    H,
    T,
    close,
    each_once,
    every_cell,
    grid,
    kinds,
    layers,
    make_input,
    named,
    same,
    warm,
)
from torch.nn.utils.rnn import pad_packed_sequence

import momentum_exp as mx
from momentum_exp.cells.options import learnable


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


@grid([cell for cell in CELLS if cell.engine == "reference" and learnable(cell.dynamics)])
@each_once
def test_a_learned_dynamics_starts_as_the_fixed_one(cell: Cell, num_layers: int, kind: str) -> None:
    learn_per = "gate" if num_layers == 1 else "layer"
    fixed = cell.layer(num_layers, batch_first=True)
    learned = cell.layer(num_layers, batch_first=True, learn=learnable(cell.dynamics), learn_per=learn_per)
    close(named(*learned(make_input(kind))), named(*fixed(make_input(kind))))
