"""The engine of CUDA graphs: on a CPU with a stand-in for the graphs, and as it is where there is a GPU."""

import pytest
import torch
from graph_stand_in import StandIn
from torch.nn.utils.rnn import pack_padded_sequence

import momentum_exp as mx
from momentum_exp.engines import cudagraph

D, H, T, B = 2, 4, 5, 3
CELLS = {
    "lstm": {},
    "dtriv": {"dynamics": "momentum"},
    "gru": {"dynamics": "adam"},
    "peephole": {"dynamics": "nesterov", "restart": 3},
    "srlstm_released": {"restart": 3},
    "urnn": {"dynamics": "rmsprop"},
}


@pytest.fixture(params=["cpu", "cuda"])
def device(request, monkeypatch):
    """A device for the engine: a CPU with the stand-in, and a GPU where there is one."""
    cudagraph.graphs.cache_clear()
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    if request.param == "cpu":
        StandIn.captures = 0
        monkeypatch.setattr(cudagraph, "make_graphed_callables", StandIn)
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
        monkeypatch.setattr(cudagraph.CudaGraph, "refusal", staticmethod(lambda *_: None))
    yield request.param
    cudagraph.graphs.cache_clear()


@pytest.fixture
def captures(device):
    """How many graphs were captured until now; counted with the stand-in alone."""
    if device != "cpu":
        pytest.skip("counted by the stand-in")
    return lambda: StandIn.captures


def pair(recurrence, device, *shape, **options):
    """The same layer with the reference and with graphs."""
    torch.manual_seed(0)
    keywords = {"recurrence": recurrence, "dtype": torch.float64, "device": device, **options}
    both = [mx.Recurrent(D, H, *shape, engine=engine, **keywords) for engine in ("reference", "cudagraph")]
    both[1].load_state_dict(both[0].state_dict())
    return both


def data(device, *shape):
    return torch.randn(*shape, dtype=torch.float64, device=device)


def results(layer, x_TBD, state=None):
    """Output, last state and all gradients of a loss that depends on both, by name."""
    x_TBD = x_TBD.clone().requires_grad_()
    leaves = {"x": x_TBD, **dict(layer.named_parameters())}
    if state is not None:
        state = state.detach().map(lambda t: t.clone().requires_grad_(t.dtype != torch.int64))
        leaves |= {f"begin {n}": t for n, t in {**state.recurrence, **state.dynamics}.items() if t.requires_grad}
    y, end = layer(x_TBD, state)
    found = {"y": y, **end.recurrence, **end.dynamics}
    loss = sum(torch.view_as_real(t).sin().sum() if t.is_complex() else t.sin().sum() for t in found.values())
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return found | {f"gradient of {n}": g for n, g in zip(leaves, gradients, strict=True)}


def close(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-10, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("carried", [False, True], ids=["from zero", "carried"])
@pytest.mark.parametrize("shape", [{}, {"num_layers": 2, "bidirectional": True}], ids=["one layer", "stacked"])
@pytest.mark.parametrize("recurrence", CELLS)
def test_equals_the_reference(device, recurrence, shape, carried):
    """Call after call on new data and weights. Directions and layers of one shape use the same graphs at once."""
    reference, graphed = pair(recurrence, device, **shape, **CELLS[recurrence])
    for _ in range(3):
        x_TBD = data(device, T, B, D)
        state = reference(data(device, 2, B, D))[1] if carried else None
        close(results(graphed, x_TBD, state), results(reference, x_TBD, state))
        with torch.no_grad():
            close(dict(graphed.named_parameters()), dict(reference.named_parameters()))
            bare, _ = graphed(x_TBD, state)
            assert torch.equal(bare, graphed(x_TBD, state)[0])
            torch.testing.assert_close(bare, reference(x_TBD, state)[0], rtol=1e-10, atol=1e-12)
            for layer in (reference, graphed):
                for parameter in layer.parameters():
                    parameter.mul_(0.9)


@pytest.mark.parametrize("learn_per", ["layer", "gate"])
def test_a_learned_dynamics(device, learn_per):
    reference, graphed = pair("lstm", device, dynamics="adam", learn=["mu", "s", "beta"], learn_per=learn_per)
    for _ in range(2):
        x_TBD = data(device, T, B, D)
        close(results(graphed, x_TBD), results(reference, x_TBD))
        for layer in (reference, graphed):
            layer.mu_l0 = 0.8 * layer.mu_l0.detach()


def test_training_captures_once(captures, device):
    reference, graphed = pair("gru", device, dynamics="adam")
    for layer in (reference, graphed):
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(layer.parameters(), 0.1)
        for _ in range(4):
            optimizer.zero_grad()
            loss = layer(data(device, T, B, D))[0].square().sum()  # the last step's lives on, as in a training loop
            loss.backward()
            optimizer.step()
    close(graphed.state_dict(), reference.state_dict())
    assert captures() == 1


def test_calls_that_wait_for_their_backward_have_graphs_of_their_own(captures, device):
    reference, graphed = pair("lstm", device)
    inputs = [data(device, T, B, D) for _ in range(3)]
    for _ in range(2):
        for layer in (reference, graphed):
            layer.zero_grad()
            outputs = [layer(x_TBD)[0] for x_TBD in inputs]
            outputs[0].sin().sum().backward()  # gradients add up over two backward passes
            (outputs[1].sin().sum() * outputs[2].sin().sum()).backward()
        close(*({n: p.grad for n, p in layer.named_parameters()} for layer in (graphed, reference)))
        assert captures() == 3
    del outputs
    for _ in range(5):
        graphed(inputs[0])  # its backward never comes
    assert captures() == 3


def test_what_was_returned_stays(device):
    """Outputs, states and gradients, through later calls with and without a backward pass."""
    _, graphed = pair("lstm", device, dynamics="momentum")
    returned = []
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            y_TBH, state = graphed(data(device, T, B, D))
        returned += [y_TBH.detach(), state.h.detach(), state.v.detach()]
        if grad:
            returned += torch.autograd.grad(y_TBH.sum(), list(graphed.parameters()))
    copies = [tensor.clone() for tensor in returned]
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            y_TBH, _ = graphed(data(device, T, B, D))
        if grad:
            y_TBH.sum().backward()
    assert all(torch.equal(*both) for both in zip(returned, copies, strict=True))


def test_another_shape_option_or_precision_is_another_graph(captures, device):
    x_TBD = data(device, T, B, D)
    made = [pair("lstm", device, dynamics="momentum", mu=mu)[1] for mu in (0.5, 0.6)]
    for expected, layer in enumerate(made, 1):
        layer(x_TBD)
        assert captures() == expected
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        made[0](x_TBD)
    finally:
        torch.set_float32_matmul_precision(before)
    assert captures() == 3
    made[0](x_TBD[1:])
    assert captures() == 4
    with torch.inference_mode():
        made[0](x_TBD)
    with torch.no_grad():
        made[0](x_TBD)  # memory made in inference mode could not be written here
    assert captures() == 5


def test_a_second_backward_pass_is_refused(device):
    _, graphed = pair("lstm", device)
    y_TBH, _ = graphed(data(device, T, B, D))
    y_TBH.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="a second backward pass through one call; write engine=reference"):
        y_TBH.sum().backward()
    y_TBH, _ = graphed(data(device, T, B, D))
    with pytest.raises(RuntimeError, match="no second derivative; write engine=reference"):
        torch.autograd.grad(y_TBH.sum(), graphed.weight_hh_l0, create_graph=True)


def test_the_reference_takes_its_place_where_graphs_can_t(captures, device, monkeypatch):
    reference, graphed = (layer.float() for layer in pair("lstm", device))
    x_TBD = data(device, T, B, D).float()
    packed = pack_padded_sequence(x_TBD, torch.tensor([T, 2, 1]))
    with pytest.warns(UserWarning, match="engine=cudagraph: the reference takes its place for packed sequences"):
        y, _ = graphed(packed)
    assert torch.equal(y.data, reference(packed)[0].data)
    with torch.autocast(device, torch.bfloat16):
        with pytest.warns(UserWarning, match="takes its place for autocast"):
            y_TBH, _ = graphed(x_TBD)
        assert torch.equal(y_TBH, reference(x_TBD)[0])
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.warns(UserWarning, match="takes its place for a call inside another capture"):
        y_TBH, _ = graphed(x_TBD)
    assert torch.equal(y_TBH, reference(x_TBD)[0])
    assert captures() == 0
