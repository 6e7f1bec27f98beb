"""The reference's loop as CUDA graphs: all its small kernels launched at once, forward and backward.

It has never run on a GPU. What was tested, on a CPU: the algebra, with a stand-in for torch.cuda.make_graphed_callables
that has its fixed memory, and that no operation of the loop leaves the device. So `auto` does not take it.
"""

import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.cuda import make_graphed_callables

from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.engines.base import Engine, Unroll, Unrolled
from momentum_exp.engines.flat import flat, part
from momentum_exp.engines.reference import Reference

Function = Callable[..., tuple[Tensor, ...]]
KEPT = 16  # cells and shapes whose graphs are kept, the latest


class CudaGraph(Engine):
    """The reference's operations, captured once for each cell and shapes (seconds), then replayed.

    Where they can't be, in packed sequences and under autocast say, the reference itself runs, with a warning.
    """

    name: ClassVar[str] = "cudagraph"

    @staticmethod
    def rank(dynamics: Dynamics, device_type: str) -> int:
        return 0

    @staticmethod
    def refusal(recurrence: Recurrence, dynamics: Dynamics, learned: bool, device_type: str | None) -> str | None:
        if device_type not in (None, "cuda"):
            return f"it needs a CUDA device, not {device_type}"
        return None if torch.cuda.is_available() else "it needs a CUDA device, and torch sees none"

    @staticmethod
    def run(call: Unroll) -> Unrolled:
        recurrence, dynamics, x_TBD, weights, recurrence_state, dynamics_state, lengths_B = call
        if (obstacle := what_prevents_capture(x_TBD, lengths_B)) is not None:
            warnings.warn(f"engine=cudagraph: the reference takes its place for {obstacle}", stacklevel=2)
            return Reference.run(call)
        learned = dynamics.learned()
        given = flat(
            input={"x": x_TBD},
            weights=weights.tensors(),
            learned=learned,
            recurrence=recurrence_state,
            dynamics=dynamics_state or {},
        )
        names = tuple(given)

        def function(*tensors: Tensor) -> tuple[Tensor, ...]:
            at = dict(zip(names, tensors, strict=True))
            captured = Unroll(
                recurrence,
                dynamics.with_values(part(at, "learned")),
                at["input.x"],
                weights.with_tensors(part(at, "weights")),
                part(at, "recurrence"),
                part(at, "dynamics") or None,
            )
            y_TBH, h, v = Reference.run(captured)
            return y_TBH, *(h[name] for name in recurrence.states), *(v[name] for name in dynamics.states)

        wanted = tuple(torch.is_grad_enabled() and tensor.requires_grad for tensor in given.values())
        options = tuple(item for item in vars(dynamics).items() if item[0] not in learned)
        shapes = tuple((t.shape, t.dtype, t.device) for t in given.values())
        key = (recurrence, type(dynamics), options, names, shapes, wanted, torch.get_float32_matmul_precision())
        y_TBH, *last = replay(graphs(key), function, wanted, list(given.values()))
        ends = iter(last)
        return Unrolled(
            y_TBH,
            {name: next(ends) for name in recurrence.states},
            {name: next(ends) for name in dynamics.states},
        )


def what_prevents_capture(x_TBD: Tensor, lengths_B: Tensor | None) -> str | None:
    """What a call has that can't be captured; None: nothing."""
    if lengths_B is not None:
        return "packed sequences"
    if torch.is_autocast_enabled(x_TBD.device.type):
        return "autocast"
    if x_TBD.is_cuda and x_TBD.get_device() != torch.cuda.current_device():
        return "a GPU that is not the current one"
    return "a call inside another capture" if torch.cuda.is_current_stream_capturing() else None


class Call:
    """What one call's backward pass needs: graph inputs and outputs, with the graphs' own backward behind them."""

    def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        self.inputs, self.outputs = inputs, outputs


class Graphs:
    """A captured forward and backward, with memory of their own: they hold one call at a time."""

    def __init__(self, function: Function, wanted: Sequence[bool], like: Sequence[Tensor]) -> None:
        with torch.inference_mode(False), torch.enable_grad():
            memory = (t.detach().clone(memory_format=torch.contiguous_format) for t in like)
            samples = tuple(tensor.requires_grad_(want) for tensor, want in zip(memory, wanted, strict=True))
            self._replay = cast(Function, make_graphed_callables(function, samples, allow_unused_input=True))
        self._call: weakref.ref[Call] | None = None

    @property
    def free(self) -> bool:
        """Whether no backward pass can come any more for what is in its memory."""
        return self._call is None or self._call() is None

    def call(self, wanted: Sequence[bool], tensors: Sequence[Tensor]) -> Call:
        """Forward: what it returns is overwritten by the next call."""
        with torch.enable_grad():
            inputs = [t.detach().requires_grad_(want) for t, want in zip(tensors, wanted, strict=True)]
            call = Call(inputs, self._replay(*inputs))
        self._call = weakref.ref(call) if any(wanted) else None
        return call


@lru_cache(maxsize=KEPT)
def graphs(key: object) -> list[Graphs]:
    """The graphs captured for a cell and shapes: as many as there were calls at once whose backward was to come."""
    return []


def replay(
    captured: list[Graphs], function: Function, wanted: Sequence[bool], tensors: list[Tensor]
) -> Sequence[Tensor]:
    """`function` of the tensors by a free one of the `captured` graphs, or by a new one."""
    graph = next((graph for graph in captured if graph.free), None)
    if graph is None:
        graph = Graphs(function, wanted, tensors)
        captured.append(graph)
    if not any(wanted):
        return [output.detach().clone() for output in graph.call(wanted, tensors).outputs]
    outputs: Sequence[Tensor] = _Replayed.apply(graph, wanted, *tensors)
    return outputs


class _Replayed(torch.autograd.Function):
    """Keeps a graph's memory for its call until the backward pass, and hands out nothing but copies of it."""

    @staticmethod
    def forward(ctx: Any, graph: Graphs, wanted: Sequence[bool], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.call = graph.call(wanted, tensors)
        outputs = tuple(output.detach().clone() for output in ctx.call.outputs)
        ctx.mark_non_differentiable(
            *(o for o, own in zip(outputs, ctx.call.outputs, strict=True) if not own.requires_grad)
        )
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError("engine=cudagraph has no second derivative; write engine=reference")
        call, ctx.call = ctx.call, None
        if call is None:
            raise RuntimeError("engine=cudagraph: a second backward pass through one call; write engine=reference")
        outputs = [output for output in call.outputs if output.requires_grad]
        given = [g for g, output in zip(gradients, call.outputs, strict=True) if output.requires_grad]
        leaves = [tensor for tensor in call.inputs if tensor.requires_grad]
        found = iter(torch.autograd.grad(outputs, leaves, given, allow_unused=True))
        own = [next(found) if tensor.requires_grad else None for tensor in call.inputs]
        return None, None, *(gradient if gradient is None else gradient.clone() for gradient in own)
