"""The cell that the theory speaks of: a simple recurrent network with momentum."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from momentum_exp.cells import Recurrent
from momentum_exp.cells.dynamics.linear import Momentum
from momentum_exp.cells.recurrences.rnn import RNN
from momentum_exp.errors import UserError
from momentum_exp.theory.activations import ACTIVATIONS, Activation


@dataclass(frozen=True, eq=False)
class SimpleCell:
    """v_t = mu v_{t-1} + s g_t ; h_t = sigma(U h_{t-1} + v_t + b) ; g_t = W x_t + b_ih, read off `layer`.

    The paper writes one bias, inside W; here it is b_ih, and b = b_hh is a second one outside the momentum, as in
    the package's cells. mu = 0, s = 1 is the plain cell.

    U_HH (H, H) and b_H (H,) are detached: all derivatives of the theory are in states, not in weights.
    """

    layer: Recurrent
    U_HH: Tensor
    b_H: Tensor
    activation: Activation
    mu: float
    s: float

    @classmethod
    def of(cls, layer: Recurrent) -> "SimpleCell":
        """Raises UserError unless the layer is a single simple recurrent layer with sigmoid or tanh and momentum."""
        recurrence, dynamics = layer.recurrence, layer.dynamics
        single = layer.num_layers == 1 and not layer.bidirectional and not layer.batch_first and not layer.learn
        if not (
            isinstance(recurrence, RNN)
            and recurrence.activation in ACTIVATIONS
            and isinstance(dynamics, Momentum)
            and single
        ):
            raise UserError(
                f"the theory can't take {layer}: it needs one layer in one direction with recurrence=rnn, "
                "activation=sigmoid or tanh, dynamics=momentum with mu and s not learned, and the input as "
                "(T, B, D); write for example Recurrent(1, 8, recurrence='rnn', dynamics='momentum', mu=0.6, s=0.6)"
            )
        weights = layer.weights(0)
        U_HH = weights.w_hh.detach()
        b_H = torch.zeros_like(U_HH[0]) if weights.b_hh is None else weights.b_hh.detach()
        return cls(layer, U_HH, b_H, ACTIVATIONS[recurrence.activation], dynamics.mu, dynamics.s)

    def inputs(self, x_TBD: Tensor) -> Tensor:
        """g_t = W x_t + b_ih for all steps, (T, B, H)."""
        weights = self.layer.weights(0)
        return F.linear(x_TBD, weights.w_ih, weights.b_ih).detach()
