"""The engine of CUDA graphs: on a CPU with a stand-in for the graphs, and as it is where there is a GPU."""

import contextlib

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import momentum_exp as mx
from momentum_exp.cells import dynamics_names, recurrence_names
from momentum_exp.cells.options import build, recurrences
from momentum_exp.engines import cudagraph, resolve_engine
from momentum_exp.engines.base import Unroll
from momentum_exp.engines.reference import Reference

D, H, T, B = 2, 4, 5, 3
CELLS = {
    "lstm": {},
    "dtriv": {"dynamics": "momentum"},
    "gru": {"dynamics": "adam"},
    "peephole": {"dynamics": "nesterov", "restart": 3},
    "srlstm_released": {"restart": 3},
    "urnn": {"dynamics": "rmsprop"},
}


class StandIn:
    """torch.cuda.make_graphed_callables without a GPU: a replay reads and writes the same memory each time.

    Inputs are copied into the samples. Outputs and gradients are always the same tensors' memory. A backward replay
    goes through what the last forward replay left, whichever call it was for.
    """

    captures = 0

    def __init__(self, function, samples, allow_unused_input):
        assert all(tensor.is_leaf and tensor.is_contiguous() for tensor in samples)
        type(self).captures += 1
        self.function, self.samples, self.unused = function, samples, allow_unused_input
        self.wanted = [tensor for tensor in samples if tensor.requires_grad]
        self.live = function(*samples)
        self.outputs = [output.detach().clone() for output in self.live]
        self.gradients = [None] * len(self.wanted)

    def forward(self, inputs):
        for sample, given in zip(self.samples, inputs, strict=True):
            assert (sample.shape, sample.dtype) == (given.shape, given.dtype)
            sample.detach().copy_(given)
        self.live = self.function(*self.samples)
        for fixed, new in zip(self.outputs, self.live, strict=True):
            fixed.copy_(new.detach())
        return tuple(output.detach() for output in self.outputs)

    def backward(self, given):
        pairs = [pair for pair in zip(self.live, given, strict=True) if pair[0].requires_grad]
        outputs, grad_outputs = zip(*pairs, strict=True)
        found = torch.autograd.grad(outputs, self.wanted, grad_outputs, allow_unused=self.unused, retain_graph=True)
        for place, new in enumerate(found):
            if new is not None and self.gradients[place] is None:
                self.gradients[place] = torch.empty_like(new)
            if new is not None:
                self.gradients[place].copy_(new)
        gradients = iter(self.gradients)
        own = [next(gradients) if sample.requires_grad else None for sample in self.samples]
        return tuple(None if gradient is None else gradient.detach() for gradient in own)

    def __call__(self, *inputs):
        graphed = self

        class Graphed(torch.autograd.Function):
            @staticmethod
            def forward(ctx, *inputs):
                with torch.enable_grad():
                    return graphed.forward(inputs)

            @staticmethod
            def backward(ctx, *given):
                with torch.enable_grad():
                    return graphed.backward(given)

        return Graphed.apply(*inputs)


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


class Elsewhere(TorchDispatchMode):
    """Notes every operation that takes or gives a tensor that is not on the meta device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        result = operation(*arguments, **(keywords or {}))
        tensors = [t for t in tree_leaves((arguments, keywords, result)) if isinstance(t, torch.Tensor)]
        self.found += [str(operation) for tensor in tensors if tensor.device.type != "meta"]
        return result


@pytest.mark.parametrize(
    ("recurrence", "dynamics"),
    [(r, d) for r in recurrence_names() for d in dynamics_names() if d in (recurrences()[r].dynamics or (d,))],
)
def test_no_operation_of_the_loop_leaves_the_device(recurrence, dynamics, monkeypatch):
    """Forward and backward: on a device without values, a capture's limit, reading one would fail too."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # which meta has not
    layer = mx.Recurrent(D, H, recurrence=recurrence, dynamics=dynamics)
    _, state = layer(torch.randn(2, B, D))

    def on_meta(tensors):
        return {n: t.detach().to("meta").requires_grad_(t.dtype != torch.int64) for n, t in tensors.items()}

    weights = layer.weights(0).with_tensors(on_meta(layer.weights(0).tensors()))
    begin = state.of_layer(0)
    x_TBD = torch.empty(T, B, D, device="meta", requires_grad=True)
    states = on_meta(begin.recurrence), on_meta(begin.dynamics) or None
    with Elsewhere() as elsewhere:
        y_TBH, *ends = Reference.run(Unroll(layer.recurrence, layer.dynamics, x_TBD, weights, *states))
        outputs = [t for t in (y_TBH, *(t for end in ends for t in end.values())) if t.requires_grad]
        inputs = [x_TBD, *weights.tensors().values()]
        torch.autograd.grad(outputs, inputs, [torch.empty_like(t) for t in outputs], allow_unused=True)
    assert elsewhere.found == []


def test_it_is_for_gpus_and_for_who_asks_for_it(monkeypatch):
    lstm, dtriv = build("lstm", "momentum", {}), build("dtriv", "momentum", {})
    with pytest.raises(ValueError, match=r"engine=cudagraph can't run .*: it needs a CUDA device, not cpu; write"):
        resolve_engine(*lstm, "cudagraph", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device_type in ("cuda", None):
        with pytest.raises(ValueError, match="it needs a CUDA device, and torch sees none"):
            resolve_engine(*lstm, "cudagraph", device_type)
    with pytest.raises(ValueError, match="torch sees none"):
        mx.LSTM(D, H, engine="cudagraph")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_engine(*lstm, "cudagraph", "cuda") == "cudagraph"
    assert (resolve_engine(*lstm, "auto", "cuda"), resolve_engine(*dtriv, "auto", "cuda")) == ("library", "reference")
    layer = mx.LSTM(D, H, engine="cudagraph")  # made on the CPU, to be moved
    with pytest.raises(ValueError, match="it needs a CUDA device, not cpu"):
        layer(torch.zeros(T, B, D))
