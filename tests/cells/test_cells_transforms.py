"""Every cell on every engine under torch.func, and as a torch.export graph."""

import io

import pytest
import torch
from cell_grid import CELLS, B, Cell, D, T, close, data, every_cell, grid, named
from torch.export import Dim

import momentum_exp as mx
from momentum_exp.cells.options import learnable

BATCH, STEPS = Dim("batch"), Dim("steps")


def real(tensor: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


@every_cell
def test_gradients_of_torch_func_equal_autograd_s(cell: Cell) -> None:
    """Of the whole batch, and of each sample by vmap."""
    layer = cell.layer()
    x_TBD, parameters = data(3, B, D), dict(layer.named_parameters())
    free = {name: parameter.detach() for name, parameter in parameters.items()}

    def loss(parameters: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        y, state = torch.func.functional_call(layer, parameters, (x,))
        return y.sin().sum() + sum(real(tensor).square().sum() for tensor in state)

    expected = dict(zip(parameters, torch.autograd.grad(loss(parameters, x_TBD), parameters.values()), strict=True))
    close(torch.func.grad(loss)(free, x_TBD), expected)
    each = torch.func.vmap(torch.func.grad(loss), (None, 1))(free, x_TBD)
    close({name: gradient.sum(0) for name, gradient in each.items()}, expected)


@pytest.mark.parametrize("engine", ["library", "native", "reference"])
def test_vmap_over_layers(engine: str) -> None:
    """An ensemble: one call for the weights of two layers, its states included."""
    layers = [mx.MomentumLSTM(D, 4, engine=engine, dtype=torch.float64) for _ in range(2)]
    x_TBD = data(T, B, D)
    stacked = {
        name: torch.stack([dict(layer.named_parameters())[name] for layer in layers]) for name in layers[0].state_dict()
    }
    found = named(*torch.func.vmap(lambda p: torch.func.functional_call(layers[0], p, (x_TBD,)))(stacked))
    for place, layer in enumerate(layers):
        close({name: tensor[place] for name, tensor in found.items()}, named(*layer(x_TBD)))


def exported(layer: mx.Recurrent) -> torch.export.ExportedProgram:
    return torch.export.export(layer, (data(2, 4, D),), dynamic_shapes=({0: BATCH, 1: STEPS},))


def scans(program: torch.export.ExportedProgram) -> int:
    return sum(node.target is torch.ops.higher_order.scan for node in program.graph.nodes)


# Every recurrence under the two mechanisms; every dynamics and engine with the LSTM.
EXPORTED = [
    cell
    for cell in CELLS
    if cell.recurrence == "lstm"
    or (cell.engine == "reference" and (cell.dynamics == "adam" or cell.recurrence == "srlstm_released"))
]


@grid(EXPORTED)
def test_torch_export_with_any_batch_and_any_number_of_steps(cell: Cell) -> None:
    layer = cell.layer(batch_first=True)
    program = exported(layer)
    assert scans(program) == 1
    for batch, steps in ((B, 7), (1, 1)):
        x_BTD = data(batch, steps, D)
        close(named(*program.module()(x_BTD)), named(*layer(x_BTD)))


@pytest.mark.parametrize("learn_per", ["layer", "gate"])
def test_torch_export_of_stacked_layers_with_learned_dynamics(learn_per: str) -> None:
    layer = mx.AdamLSTM(
        D, 4, 2, batch_first=True, bidirectional=True, dropout=0.5, learn=learnable("adam"), learn_per=learn_per
    )
    layer.double().eval()
    program = exported(layer)
    assert scans(program) == 4
    x_BTD = data(B, 7, D)
    close(named(*program.module()(x_BTD)), named(*layer(x_BTD)))
    weights = {name: 0.9 * tensor for name, tensor in layer.state_dict().items()}
    layer.load_state_dict(weights)
    module = program.module()
    module.load_state_dict(weights)
    close(named(*module(x_BTD)), named(*layer(x_BTD)))  # none of them is a constant of the graph


def test_an_exported_layer_takes_and_gives_states_and_survives_saving() -> None:
    layer = mx.SRDTRIV(D, 4, batch_first=True, restart=3, dtype=torch.float64)
    example_BTD = data(2, 4, D)
    free = [{"h": {1: BATCH}}, {"v": {1: BATCH}, "k": {1: BATCH}}]
    example = (example_BTD, layer(example_BTD)[1])
    file = io.BytesIO()
    torch.export.save(torch.export.export(layer, example, dynamic_shapes=({0: BATCH, 1: STEPS}, free)), file)
    file.seek(0)
    program = torch.export.load(file).module()
    x_BTD = data(B, 7, D)
    head_BTH, state = layer(x_BTD[:, :2])
    tail_BTH, end = program(x_BTD[:, 2:], state)
    assert isinstance(end, mx.State)
    close(named(torch.cat([head_BTH, tail_BTH], 1), end), named(*layer(x_BTD)))


def test_a_saved_state_is_plain_data() -> None:
    _, state = mx.AdamLSTM(D, 4)(torch.randn(T, B, D))
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert isinstance(loaded, mx.State)
    close(named(state.h, loaded), named(state.h, state))


def test_no_gradient_passes_an_exported_layer() -> None:
    program = exported(mx.LSTM(D, 4, batch_first=True, dtype=torch.float64))
    assert not any(tensor.requires_grad for tensor in named(*program.module()(data(2, 4, D))).values())


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
def test_jit_trace_records_the_reference() -> None:
    class Outputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = mx.MomentumLSTM(D, 4, engine="native", dtype=torch.float64)

        def forward(self, x_TBD: torch.Tensor) -> torch.Tensor:
            return self.layer(x_TBD)[0]

    module = Outputs()
    traced = torch.jit.trace(module, (data(T, B, D),))
    x_TBD = data(T, B, D)
    torch.testing.assert_close(traced(x_TBD), module(x_TBD), rtol=1e-10, atol=1e-12)
