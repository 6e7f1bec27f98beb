"""The gradient norm through time, and how saturated the gates are, for one batch.

Definition: with L the batch mean of the loss, sample b's norm is ||B dL/dh_t[b]|| (the factor B undoes the mean,
so that the number does not depend on the batch size); the measure is its mean over the batch. The derivative is
total: through the output at t and through all later steps. The same for c, where the cell has one. t counts in
the direction's own order. Paper, Figure 2.

Cost: one forward and backward pass through the reference engine, whatever the run's own engine, and outside
bf16 autocast, with h_t, c_t of all T steps kept: about 1 to 5 training steps, depending on size. The run's own
numbers are untouched: gradients go to h and c alone, and random states are restored.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor

from momentum_exp.cells import Recurrent
from momentum_exp.cells.layer import Observer
from momentum_exp.data import Batch
from momentum_exp.tasks import Carry, Task

LOW, HIGH = 0.05, 0.95


@dataclass
class GateCounts:
    """Sums over time steps of the fractions of a gate's values below LOW and above HIGH."""

    steps: int = 0
    low: dict[str, Tensor] = field(default_factory=dict)
    high: dict[str, Tensor] = field(default_factory=dict)

    def add(self, gates: dict[str, Tensor]) -> None:
        """Count one time step; each gate is (B, H)."""
        self.steps += 1
        for name, value in gates.items():
            zero = torch.zeros((), device=value.device)
            self.low[name] = self.low.get(name, zero) + (value < LOW).float().mean()
            self.high[name] = self.high.get(name, zero) + (value > HIGH).float().mean()

    def means(self) -> dict[str, dict[str, float]]:
        """`{"low": {gate: fraction}, "high": {gate: fraction}}`."""
        return {
            "low": {name: float(value) / self.steps for name, value in self.low.items()},
            "high": {name: float(value) / self.steps for name, value in self.high.items()},
        }


@dataclass
class Flow:
    """`norms["h_l0"]` is (T,) float32; `gates[(layer, direction)]` counts saturation."""

    norms: dict[str, Tensor]
    gates: dict[tuple[int, int], GateCounts]


def trace_name(state: str, layer: int, direction: int) -> str:
    """`h_l0`, `c_l1_reverse`: torch's way of naming layers and directions."""
    return f"{state}_l{layer}{'_reverse' if direction else ''}"


def measure_flow(
    task: Task,
    batch: Batch,
    carry: Carry = None,
    *,
    through_time: bool = True,
    gates: bool = True,
) -> Flow:
    """Measure on one batch, leaving parameters, their gradients and random states as they were."""
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
        first = 0
        for cell in task.cells:
            stack.enter_context(cell.observe(watching(cell, first)))
            first += cell.num_layers
        stack.enter_context(torch.random.fork_rng(cuda))
        stack.enter_context(torch.set_grad_enabled(through_time))
        loss = task.evaluate(batch, carry).loss
        norms = gradient_norms(loss, states) if states else {}
    return Flow(norms, counts)


def gradient_norms(loss: Tensor, states: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    """For every name, with T tensors (B, H): the (T,) mean over the batch of ||B dL/dh_t||.

    A complex h counts as its real and imaginary parts.
    """
    flat = [tensor for series in states.values() for tensor in series]
    gradients = iter(torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True))
    norms = {}
    for name, series in states.items():
        g_TBH = torch.stack([next(gradients) for _ in series])
        norm_TB = torch.linalg.vector_norm(g_TBH.to(torch.promote_types(g_TBH.dtype, torch.float32)), dim=2)
        norms[name] = (g_TBH.shape[1] * norm_TB.float()).mean(dim=1).cpu()
    return norms
