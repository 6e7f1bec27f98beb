"""DTRIV: an orthogonal RNN by dynamic trivialization, the orthogonal cell of the paper's Tables 4 and 5."""

from dataclasses import dataclass
from typing import ClassVar

from momentum_exp.cells.checks import require_count, require_word
from momentum_exp.cells.constraints.exponential import Exponential
from momentum_exp.cells.constraints.skew import INITS
from momentum_exp.cells.recurrences.modrelu import ModReLU


@dataclass(frozen=True)
class DTRIV(ModReLU):
    """pre = u + h B ; h = modReLU(pre, b) ; B = base expm(A - A^T), the base re-set to B every K optimizer steps.

    Source: Lezcano-Casado, Trivializations for gradient-based optimization on manifolds, 2019; released code,
    mnist-timit/orthogonal.py. The paper's Table 4 has K = 1 at N = 170 and K = infinity otherwise.
    The released code computes B lazily after each backward pass, the same function. With K = infinity it starts at
    the same B as exprnn with the same draw, but there A starts away from 0, so that equal steps lead elsewhere.

    skew_init: `cayley` (the release's mnist.py) or `henaff` (its timit.py).
    rebase: K, optimizer steps between re-basings; 0 is infinity. project: re-basings between projections of the
    base onto the orthogonal matrices.
    """

    name: ClassVar[str] = "dtriv"
    skew_init: str = "cayley"
    rebase: int = 0
    project: int = 100

    def __post_init__(self) -> None:
        require_word("skew_init", self.skew_init, INITS)
        require_count("rebase", self.rebase, 0)
        require_count("project", self.project, 1)
        if not self.rebase and self.project != type(self).project:
            raise ValueError(
                f"project={self.project} has no effect with rebase=0, which never re-bases; "
                "leave project out or write for example rebase=1"
            )

    def constraint(self, hidden_size: int) -> Exponential:
        return Exponential(hidden_size, self.skew_init, True, self.rebase, self.project)
