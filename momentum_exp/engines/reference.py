"""The reference: a readable loop over the steps. Every other engine is compared with it."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from momentum_exp.cells.dynamics.base import Dynamics
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.state import hold
from momentum_exp.engines.base import Engine, Observer, Unroll, Unrolled


class Reference(Engine):
    """g = W x + b_ih ; u = dynamics(g) ; h = recurrence(h, u), step by step, for any cell."""

    name: ClassVar[str] = "reference"

    @staticmethod
    def rank(dynamics: Dynamics, device_type: str) -> int:
        return 1

    @staticmethod
    def refusal(recurrence: Recurrence, dynamics: Dynamics, learned: bool, device_type: str | None) -> str | None:
        return None

    @staticmethod
    def run(call: Unroll, observer: Observer | None = None, times_TB: Tensor | None = None) -> Unrolled:
        """As every engine; `observer(t, pre_BG, recurrence_state)` is called after each step.

        It sees pre_BG in the rows whose sequence goes on, and the state before ended rows go back to their last.
        `times_TB` are the steps' time stamps, for a recurrence that has `time` among its states.
        """
        recurrence, dynamics, x_TBD, weights, state, dynamics_state, lengths_B = call
        if weights.w_ih.is_complex():
            x_TBD = x_TBD.to(weights.w_ih.dtype)
        g_TBG = F.linear(x_TBD, weights.w_ih, weights.b_ih)
        u_TBG, dynamics_state = dynamics.unroll(g_TBG, dynamics_state, lengths_B)
        lengths_B = None if lengths_B is None else lengths_B.to(x_TBD.device)
        outputs = []
        for t, u_BG in enumerate(u_TBG.unbind(0)):
            stamped = state if times_TB is None else {**state, "time": times_TB[t]}
            pre_BG, new = recurrence.step(u_BG, stamped, weights)
            state = new if lengths_B is None else hold(t < lengths_B, new, state)
            if observer is not None:
                observer(t, pre_BG if lengths_B is None else pre_BG[t < lengths_B], dict(new))
            outputs.append(recurrence.hidden(state))
        return Unrolled(torch.stack(outputs), state, dynamics_state)
