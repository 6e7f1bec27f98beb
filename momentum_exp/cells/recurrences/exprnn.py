"""expRNN: an orthogonal RNN by the exponential map."""

from dataclasses import dataclass
from typing import ClassVar

from momentum_exp.cells.checks import require_word
from momentum_exp.cells.constraints.exponential import Exponential
from momentum_exp.cells.constraints.skew import INITS
from momentum_exp.cells.recurrences.modrelu import ModReLU


@dataclass(frozen=True)
class ExpRNN(ModReLU):
    """pre = u + h B ; h = modReLU(pre, b) ; B = expm(A - A^T).

    Source: Lezcano-Casado and Martinez-Rubio, Cheap orthogonal constraints in neural networks, 2019; released
    code, mnist-timit/orthogonal.py, where it is DTRIV with a base that never moves.

    skew_init: `cayley` or `henaff`.
    """

    name: ClassVar[str] = "exprnn"
    skew_init: str = "cayley"

    def __post_init__(self) -> None:
        require_word("skew_init", self.skew_init, INITS)

    def constraint(self, hidden_size: int) -> Exponential:
        return Exponential(hidden_size, self.skew_init, trivialized=False)
