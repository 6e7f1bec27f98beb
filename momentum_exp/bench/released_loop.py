"""MomentumLSTM as a loop of eager operations, the way the authors' release trains it: a yardstick."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ReleasedLoop(nn.Module):
    """One layer; each step has its own product with each weight, and its own operations for v, the gates, c and h.

    Paper, equations 8 and 12; structure of the release's momentumnet.py.
    """

    def __init__(self, input_size: int, hidden_size: int, mu: float = 0.6, s: float = 0.6) -> None:
        super().__init__()
        self.mu, self.s = mu, s
        bound = hidden_size**-0.5

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

        self.w_ih, self.w_hh = parameter(4 * hidden_size, input_size), parameter(4 * hidden_size, hidden_size)
        self.b_ih, self.b_hh = parameter(4 * hidden_size), parameter(4 * hidden_size)

    def forward(self, x_TBD: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs (T, B, H) and the last h (B, H)."""
        h_BH = c_BH = x_TBD.new_zeros(x_TBD.shape[1], self.w_hh.shape[1])
        v_BG = x_TBD.new_zeros(x_TBD.shape[1], len(self.w_hh))
        outputs = []
        for x_BD in x_TBD:
            v_BG = self.mu * v_BG + self.s * F.linear(x_BD, self.w_ih, self.b_ih)
            i_BH, f_BH, g_BH, o_BH = (v_BG + F.linear(h_BH, self.w_hh, self.b_hh)).chunk(4, 1)
            c_BH = torch.sigmoid(f_BH) * c_BH + torch.sigmoid(i_BH) * torch.tanh(g_BH)
            h_BH = torch.sigmoid(o_BH) * torch.tanh(c_BH)
            outputs.append(h_BH)
        return torch.stack(outputs), h_BH
