"""The gradient norm through time, and how saturated the gates are, in one training step.

Definition: with L the step's loss, a batch mean, sample b's norm is ||B dL/dh_t[b]|| (the factor B undoes the mean,
so that the number does not depend on the batch size); the measure is its mean over the batch. The derivative is
total: through the output at t and through all later steps. The same for c, where the cell has one. t counts in
the direction's own order; past a sequence's end the norm is 0. Paper, Figure 2. A gate's fractions are over all its
units and all steps of all sequences.

Cost: nearly nothing where every cell runs on the native engine, whose backward pass finds all of it on its way. Else
one more forward and backward pass through the reference engine, outside bf16 autocast, with h_t, c_t of all T steps
kept: about 1 to 4 training steps, depending on size. It goes first, on the step's own random numbers, so that the loss
is the step's own; gradients go to h and c alone, and the random states are put back.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from momentum_exp.cells import Recurrent
from momentum_exp.cells.layer import Observer
from momentum_exp.data import Batch
from momentum_exp.tasks import Carry, Task

LOW, HIGH = 0.05, 0.95


@dataclass
class Saturation:
    """By gate: the fraction of its values below LOW, and above HIGH."""

    low: dict[str, float]
    high: dict[str, float]


@dataclass
class Flow:
    """`norms["h_l0"]` is (T,) float32; `gates[layer, direction]` is empty for a cell without gates."""

    norms: dict[str, Tensor] = field(default_factory=dict)
    gates: dict[tuple[int, int], Saturation] = field(default_factory=dict)


def trace_name(state: str, layer: int, direction: int) -> str:
    """`h_l0`, `c_l1_reverse`: torch's way of naming layers and directions."""
    return f"{state}_l{layer}{'_reverse' if direction else ''}"


@contextmanager
def watch_flow(
    task: Task, batch: Batch, carry: Carry = None, *, through_time: bool = True, gates: bool = True
) -> Iterator[Flow]:
    """Around the forward and backward pass of a training step: its flow, complete at the end."""
    if any(cell.engine != "native" for cell in task.cells):
        yield measure_flow(task, batch, carry, through_time=through_time, gates=gates)
        return
    flow = Flow()
    with ExitStack() as stack:
        bounds = (LOW, HIGH) if gates else None
        traces = [(first, stack.enter_context(cell.trace(bounds))) for first, cell in placed(task)]
        yield flow
    for first, of_cell in traces:
        for (layer, direction), trace in of_cell.items():
            if through_time:
                norms = trace.norms.items()
                flow.norms |= {trace_name(name, first + layer, direction): averaged(n_TB) for name, n_TB in norms}
            if gates:
                flow.gates[first + layer, direction] = Saturation(trace.low, trace.high)


def measure_flow(
    task: Task, batch: Batch, carry: Carry = None, *, through_time: bool = True, gates: bool = True
) -> Flow:
    """By a pass through the reference engine; parameters, their gradients and random states stay as they are."""
    cuda = [batch.inputs.device] if batch.inputs.is_cuda else []
    states: dict[str, list[Tensor]] = {}
    counts: dict[tuple[int, int], GateCounts] = {}

    def watching(cell: Recurrent, first: int) -> Observer:
        def watch(layer: int, direction: int, t: int, pre_BG: Tensor, state: dict[str, Tensor]) -> None:
            if through_time:
                for name in ("h", "c"):
                    if name in state:
                        states.setdefault(trace_name(name, first + layer, direction), []).append(state[name])
            if gates:
                with torch.no_grad():
                    counts.setdefault((first + layer, direction), GateCounts()).add(cell.recurrence.gates(pre_BG))

        return watch

    with ExitStack() as stack:
        for first, cell in placed(task):
            stack.enter_context(cell.observe(watching(cell, first)))
        stack.enter_context(torch.random.fork_rng(cuda))
        stack.enter_context(torch.set_grad_enabled(through_time))
        loss = task.evaluate(batch, carry).loss
        norms = gradient_norms(loss, states) if states else {}
    return Flow(norms, {place: count.saturation() for place, count in counts.items()})


def placed(task: Task) -> list[tuple[int, Recurrent]]:
    """Every cell with the number of its first layer, counted through all of them."""
    firsts = accumulate((cell.num_layers for cell in task.cells), initial=0)
    return list(zip(firsts, task.cells, strict=False))


def gradient_norms(loss: Tensor, states: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    """For every name, with T tensors (B, H): the (T,) mean over the batch of ||B dL/dh_t||.

    A complex h counts as its real and imaginary parts.
    """
    flat = [tensor for series in states.values() for tensor in series]
    gradients = iter(torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True))
    norms = {}
    for name, series in states.items():
        g_TBH = torch.stack([next(gradients) for _ in series])
        wide = torch.promote_types(g_TBH.dtype, torch.float32)
        norms[name] = averaged(torch.linalg.vector_norm(g_TBH.to(wide), dim=2))
    return norms


def averaged(norm_TB: Tensor) -> Tensor:
    """The mean over the batch of B times the norm: their sum, (T,) float32 on the CPU."""
    return norm_TB.sum(dim=1).float().cpu()


class GateCounts:
    """How many values each gate has, and how many of them are below LOW and above HIGH."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.low: dict[str, Tensor] = {}
        self.high: dict[str, Tensor] = {}

    def add(self, gates: dict[str, Tensor]) -> None:
        """Count one time step; each gate is (B, H)."""
        for name, value in gates.items():
            zero = torch.zeros((), dtype=torch.int64, device=value.device)
            self.values[name] = self.values.get(name, 0) + value.numel()
            self.low[name] = self.low.get(name, zero) + (value < LOW).sum()
            self.high[name] = self.high.get(name, zero) + (value > HIGH).sum()

    def saturation(self) -> Saturation:
        """The counts as fractions."""
        low, high = ({name: int(n) / self.values[name] for name, n in side.items()} for side in (self.low, self.high))
        return Saturation(low, high)
