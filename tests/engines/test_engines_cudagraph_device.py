"""What CUDA graphs ask of the device: no operation of any cell's loop leaves it, and it is a GPU."""

import contextlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import momentum_exp as mx
from momentum_exp.cells import dynamics_names, recurrence_names
from momentum_exp.cells.options import build, recurrences
from momentum_exp.engines import resolve_engine
from momentum_exp.engines.base import Unroll
from momentum_exp.engines.reference import Reference

D, H, T, B = 2, 4, 5, 3


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
