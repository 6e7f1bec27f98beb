"""What every recurrence is: h_t = f(h_{t-1}, u_t), with its own U and b_hh."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from momentum_exp.cells.constraints.base import Constraint
from momentum_exp.cells.state import Tensors
from momentum_exp.cells.weights import Weights


class Recurrence(ABC):
    """A recurrence is a frozen dataclass whose fields are its options.

    name: what `recurrence=` says. gate_blocks: the drive has G = gate_blocks * H entries. states: the names of its
    state tensors, h first, (B, H) each unless `initial_state` says otherwise; all start at zero. forget_block:
    which gate block `forget_bias` goes to, if any. dynamics: the dynamics that it goes with; empty: all.
    biased: whether it has b_ih and b_hh. complex_valued: whether parameters, drive and h are complex.
    A new recurrence is one new file here.
    """

    name: ClassVar[str]
    gate_blocks: ClassVar[int]
    states: ClassVar[tuple[str, ...]] = ("h",)
    forget_block: ClassVar[int | None] = None
    dynamics: ClassVar[tuple[str, ...]] = ()
    biased: ClassVar[bool] = True
    complex_valued: ClassVar[bool] = False

    @abstractmethod
    def step(self, u_BG: Tensor, state: Tensors, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        """One step: the pre-activation pre_BG (all that enters the non-linearities) and the next state."""

    def gates(self, pre_BG: Tensor) -> dict[str, Tensor]:
        """The values in (0, 1) of the sigmoid gates by name, (B, H) each; none by default."""
        return {}

    def hidden(self, state: Tensors) -> Tensor:
        """What the layer puts out for a state, real, (.., width): h, or its real and then its imaginary parts."""
        h = state["h"]
        return torch.cat([h.real, h.imag], -1) if self.complex_valued else h

    def width(self, hidden_size: int) -> int:
        """Entries of an output: H, or 2H where h is complex."""
        return 2 * hidden_size if self.complex_valued else hidden_size

    def dtype(self, real: torch.dtype) -> torch.dtype:
        """The kind of number that the cell computes with, for inputs of dtype `real`: complex64 at least, or real."""
        return torch.promote_types(real, torch.complex64) if self.complex_valued else real

    def initial_state(self, x_BD: Tensor, hidden_size: int) -> dict[str, Tensor]:
        """The zero state for an input like `x_BD`."""
        zero_BH = x_BD.new_zeros(x_BD.shape[0], hidden_size, dtype=self.dtype(x_BD.dtype))
        return dict.fromkeys(self.states, zero_BH)

    def extra_shapes(self, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """The real parameters beyond torch's four, by name (their values come from `init_extra_`); none by default."""
        return {}

    def constraint(self, hidden_size: int) -> Constraint | None:
        """The module that makes w_hh (H, H) of free parameters; None, the default, where w_hh is free itself."""
        return None

    @classmethod
    def constrained(cls) -> bool:
        """Whether w_hh comes from a constraint."""
        return cls.constraint is not Recurrence.constraint

    @property
    def fusable(self) -> bool:
        """Whether torch has a kernel for it, as `fused` then says."""
        return type(self).fused is not Recurrence.fused

    def fused(
        self,
        x_TBD: Tensor,
        state: Tensors,
        weights: Weights,
        lengths_B: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """All steps of the plain cell (u = W x + b_ih) in one kernel of torch: y_TBH and the last state.

        `b_ih` None means zero; `lengths_B` is decreasing, on the CPU. Overridden where torch has a kernel.
        """
        raise NotImplementedError

    def init_released_(self, weights: Weights, forget_bias: float | None = None) -> None:
        """Fill the parameters in place as the released code does, from torch's global generator.

        W_ih orthogonal as one (G, D) matrix; W_hh = eye, so that the first gate block is the identity and the
        others are zero; biases zero but for the forget gate, `forget_bias` (1.0 if None) in each of the two.
        A constrained W_hh is not touched: its constraint draws it.
        """
        start = torch.empty_like(weights.w_ih, dtype=torch.promote_types(weights.w_ih.dtype, torch.float32))
        with torch.no_grad():
            weights.w_ih.copy_(nn.init.orthogonal_(start))  # not to be had in half precision
        if not self.constrained():
            nn.init.eye_(weights.w_hh)
        for bias in (weights.b_ih, weights.b_hh):
            if bias is not None:
                nn.init.zeros_(bias)
        self.fill_forget_(weights, 1.0 if forget_bias is None else forget_bias)
        self.init_extra_(weights)

    def init_torch_(self, weights: Weights, forget_bias: float | None = None, bound: float | None = None) -> None:
        """Fill the parameters in place as torch's own modules do: U(-bound, bound), in their order.

        `bound` None is theirs, 1/sqrt(H).

        A `forget_bias` that is given then replaces the forget gate's part of each bias. Extra parameters and a
        constrained W_hh start as with `init_released_`.
        """
        bound = weights.w_hh.shape[1] ** -0.5 if bound is None else bound
        free_w_hh = None if self.constrained() else weights.w_hh
        for tensor in (weights.w_ih, free_w_hh, weights.b_ih, weights.b_hh):
            if tensor is not None:
                real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
                nn.init.uniform_(real, -bound, bound)
        if forget_bias is not None:
            self.fill_forget_(weights, forget_bias)
        self.init_extra_(weights)

    def init_extra_(self, weights: Weights) -> None:
        """Fill `weights.extra` in place."""
        return

    @torch.no_grad()
    def fill_forget_(self, weights: Weights, value: float) -> None:
        """Put `value` into the forget gate's slice of each bias, where there is one."""
        for bias in (weights.b_ih, weights.b_hh):
            if bias is not None and self.forget_block is not None:
                bias.chunk(self.gate_blocks)[self.forget_block].fill_(value)
