"""A compiled kernel for CPUs: the LSTM, and the cells with one activation, under every dynamics."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from momentum_exp.cells.dynamics.base import Dynamics, widened
from momentum_exp.cells.dynamics.linear import Linear, nesterov_schedule
from momentum_exp.cells.dynamics.normalised import Adam, RMSProp
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.recurrences.lstm import LSTM
from momentum_exp.cells.recurrences.modrelu import ModReLU
from momentum_exp.cells.recurrences.rnn import RNN
from momentum_exp.cells.recurrences.srlstm_released import SRLSTMReleased
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights
from momentum_exp.engines.base import Engine, Unroll, Unrolled
from momentum_exp.engines.compiled import reason_unavailable, vectorised
from momentum_exp.engines.kernel import Trace, call_kernel
from momentum_exp.engines.library import ends, filtered

RNN_KINDS = {"tanh": 2, "relu": 3, "sigmoid": 4}


class Native(Engine):
    """Forward and backward over all steps in one call of compiled code (native.cpp), on CPUs.

    In float32 and float64; narrower numbers are widened to float32. Its gradient has no gradient of its own.
    """

    name: ClassVar[str] = "native"

    @staticmethod
    def rank(dynamics: Dynamics, device_type: str) -> int:
        return 3 if vectorised() else 0

    @staticmethod
    def refusal(recurrence: Recurrence, dynamics: Dynamics, learned: bool, device_type: str | None) -> str | None:
        if kind(recurrence) is None or not isinstance(dynamics, Linear | RMSProp | Adam):
            return "it has no compiled kernel"
        if isinstance(dynamics, Adam) and dynamics.mu == 0:
            return "its adam keeps no v where mu is 0"
        if learned:
            return "a learned mu, s or beta needs the step-by-step loop"
        return reason_unavailable() if device_type in ("cpu", None) else f"it is for CPUs, not {device_type}"

    @staticmethod
    def run(call: Unroll, trace: Trace | None = None) -> Unrolled:
        """As every engine; the backward pass fills a `trace`."""
        recurrence, dynamics, x_TBD, weights, recurrence_state, _, lengths_B = call
        dtype = widened(weights.w_ih.dtype)
        with torch.autocast("cpu", enabled=False):
            w_ih, w_hh, b_ih, b_hh = (None if t is None else t.to(dtype) for t in weights[:4])
            assert w_ih is not None
            assert w_hh is not None
            extra = {name: tensor.to(dtype) for name, tensor in weights.extra.items()}
            wide = Weights(w_ih, w_hh, b_ih, b_hh, extra)
            fed = feed(call._replace(x_TBD=x_TBD.to(dtype), weights=wide))
            inputs = {**fed.inputs, "w_hh": w_hh, "b_modrelu": extra.get("bias_modrelu")}
            inputs |= {f"{name}0": tensor.to(dtype) for name, tensor in recurrence_state.items() if name != "k"}
            options = {**fed.options, "recurrence": kind(recurrence) or 0}
            y_TBH, last = call_kernel(options, inputs, fed.constants, lengths_B, trace)
        last = {**last, **fed.last}
        return Unrolled(
            y_TBH.to(x_TBD.dtype),
            {name: last[name].to(recurrence_state[name].dtype) for name in recurrence.states},
            {name: last[name] for name in dynamics.states},
        )


def kind(recurrence: Recurrence) -> int | None:
    """The number of the recurrence in native.cpp's `enum Recurrence`; None: it has no kernel.

    A class is known by its step, since a subclass may have another.
    """
    step = type(recurrence).step
    if isinstance(recurrence, RNN) and step is RNN.step:
        return RNN_KINDS[recurrence.activation]
    if recurrence.complex_valued:
        return None
    return {LSTM.step: 0, SRLSTMReleased.step: 1, ModReLU.step: 5}.get(step)


class Fed(NamedTuple):
    """What makes the kernel compute a cell: its options, its inputs with and without a gradient (`struct Call`),
    and the last states that are known without it."""

    options: Mapping[str, float]
    inputs: Mapping[str, Tensor | None]
    constants: Mapping[str, Tensor]
    last: Tensors


def feed(call: Unroll) -> Fed:
    """What differs from cell to cell is put into x, its weights and the bias.

    - srlstm_released: the weights times -s, and mu_k for every step.
    - Linear without memory (all mu_k = 0): the weights times s.
    - Linear: it commutes with the weights, so x and a constant 1 for b_ih are filtered; a carried v_0 enters at step
      t times p_t = mu_1 .. mu_t.
    - Normalised: b_ih is the weight of a constant 1.
    """
    recurrence, dynamics, x_TBD, weights, recurrence_state, state, lengths_B = call
    w_ih, b_ih, b_hh = weights.w_ih, weights.b_ih, weights.b_hh
    if isinstance(recurrence, SRLSTMReleased):
        before_TB = recurrence_state["k"] + torch.arange(len(x_TBD))[:, None]
        k_TB, mu_TB1 = nesterov_schedule(before_TB, recurrence.restart, x_TBD.dtype)
        inputs = {"x_TBD": x_TBD, **scaled(-recurrence.s, weights)}
        return Fed({}, inputs, {"mu_TB": mu_TB1}, {"k": ends(k_TB, lengths_B)})
    if isinstance(dynamics, Linear) and dynamics.memoryless:
        _, last = dynamics.unroll(F.linear(ends(x_TBD, lengths_B), w_ih, b_ih)[None], state)
        return Fed({}, {"x_TBD": x_TBD, **scaled(dynamics.s, weights)}, {}, last)
    if isinstance(dynamics, Linear):
        z_TBK, w_GK, decay_TB, last = filtered(dynamics, x_TBD, weights, state, lengths_B)
        inputs = {"x_TBD": z_TBK, "w_ih": w_GK, "b_G": b_hh}
        if state is None or decay_TB is None:
            return Fed({}, inputs, {}, last)
        return Fed({}, {**inputs, "v0": state["v"]}, {"decay_TB": decay_TB.to(x_TBD.dtype)}, last)
    assert isinstance(dynamics, RMSProp | Adam)
    if b_ih is not None:
        x_TBD, w_ih = F.pad(x_TBD, (0, 1), value=1.0), torch.cat([w_ih, b_ih[:, None]], 1)
    options = {"normalised": 1, "eps_paper": int(dynamics.eps == "paper"), "s": dynamics.s, "beta": dynamics.beta}
    options["mu"] = dynamics.mu if isinstance(dynamics, Adam) else 0.0
    states = {f"{name}0": tensor for name, tensor in (state or {}).items()}
    return Fed(options, {"x_TBD": x_TBD, "w_ih": w_ih, "b_G": b_hh, **states}, {}, {})


def scaled(s: float, weights: Weights) -> dict[str, Tensor | None]:
    """s (W x + b_ih) + b_hh as one weight and one bias."""
    bias = None if weights.b_ih is None or weights.b_hh is None else s * weights.b_ih + weights.b_hh
    return {"w_ih": s * weights.w_ih, "b_G": bias}
