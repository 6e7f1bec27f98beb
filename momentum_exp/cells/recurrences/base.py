"""What every recurrence is: h_t = f(h_{t-1}, u_t), with its own U and b_hh."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from momentum_exp.cells.state import Tensors


class Recurrence(ABC):
    """A recurrence is a frozen dataclass whose fields are its options.

    name: what `recurrence=` says. gate_blocks: the drive has G = gate_blocks * H entries. states: the names of its
    state tensors, h first, (B, H) each unless `initial_state` says otherwise; all start at zero. forget_block:
    which gate block is the forget gate, if there is one. dynamics: the dynamics that it goes with; empty: all.
    A new recurrence is one new file here.
    """

    name: ClassVar[str]
    gate_blocks: ClassVar[int]
    states: ClassVar[tuple[str, ...]] = ("h",)
    forget_block: ClassVar[int | None] = None
    dynamics: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def step(self, u_BG: Tensor, state: Tensors, w_hh: Tensor, b_hh: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """One step: the pre-activation pre_BG (all that enters the non-linearities) and the next state."""

    def gates(self, pre_BG: Tensor) -> dict[str, Tensor]:
        """The values in (0, 1) of the sigmoid gates by name, (B, H) each; none by default."""
        return {}

    def hidden(self, state: Tensors) -> Tensor:
        """What the layer puts out after a step, (B, H)."""
        return state["h"]

    def initial_state(self, x_BD: Tensor, hidden_size: int) -> dict[str, Tensor]:
        """The zero state for an input like `x_BD`."""
        return {name: x_BD.new_zeros(len(x_BD), hidden_size) for name in self.states}

    def fused(
        self,
        x_TBD: Tensor,
        state: Tensors,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None,
        b_hh: Tensor | None,
        lengths_B: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """All steps of the plain cell (u = W x + b_ih) in one kernel of torch: y_TBH and the last state.

        `b_ih` None means zero; `lengths_B` is decreasing, on the CPU. Overridden where torch has a kernel.
        """
        raise NotImplementedError

    def init_released_(
        self,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None,
        b_hh: Tensor | None,
        forget_bias: float | None = None,
    ) -> None:
        """Fill the parameters in place as the released code does, from torch's global generator.

        W_ih orthogonal as one (G, D) matrix; W_hh = eye, so that the first gate block is the identity and the
        others are zero; biases zero but for the forget gate, `forget_bias` (1.0 if None) in each of the two.
        """
        nn.init.orthogonal_(w_ih)
        nn.init.eye_(w_hh)
        for bias in (b_ih, b_hh):
            if bias is not None:
                nn.init.zeros_(bias)
        self.fill_forget_(b_ih, b_hh, 1.0 if forget_bias is None else forget_bias)

    def init_torch_(
        self,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None,
        b_hh: Tensor | None,
        forget_bias: float | None = None,
    ) -> None:
        """Fill the parameters in place as torch's own modules do: U(-1/sqrt(H), 1/sqrt(H)), in their order.

        A `forget_bias` that is given then replaces the forget gate's part of each bias.
        """
        bound = w_hh.shape[1] ** -0.5
        for tensor in (w_ih, w_hh, b_ih, b_hh):
            if tensor is not None:
                nn.init.uniform_(tensor, -bound, bound)
        if forget_bias is not None:
            self.fill_forget_(b_ih, b_hh, forget_bias)

    @torch.no_grad()
    def fill_forget_(self, b_ih: Tensor | None, b_hh: Tensor | None, value: float) -> None:
        """Put `value` into the forget gate's slice of each bias, where there is one."""
        for bias in (b_ih, b_hh):
            if bias is not None and self.forget_block is not None:
                bias.chunk(self.gate_blocks)[self.forget_block].fill_(value)
