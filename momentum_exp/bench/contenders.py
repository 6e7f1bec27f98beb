"""What is timed: a contender is a layer, its size and how its process computes."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from momentum_exp.bench.released_loop import ReleasedLoop
from momentum_exp.cells import Recurrent

BASELINE = "torch.nn.LSTM"
LOOP = "released-style loop, lstm momentum"


@dataclass(frozen=True)
class Contender:
    """`layer` is torch.nn.LSTM, the loop in the released code's style, or `<engine> <recurrence> <dynamics>`.

    Sizes: N = hidden_size units, B = batch_size sequences, T = steps, D = 1 input. threads: None is torch's choice.
    norms: the gradient norm through time is taken in every iteration.
    """

    layer: str
    hidden_size: int
    batch_size: int = 128
    steps: int = 784
    keeps_heap: bool = True
    threads: int | None = None
    norms: bool = False

    @property
    def label(self) -> str:
        """How the table calls it."""
        notes = ["gradient norms"] * self.norms + ["default malloc"] * (not self.keeps_heap)
        return ", ".join([self.layer, *notes])

    def facts(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)

    def build(self) -> nn.Module:
        """The layer, with equal parameters for every contender of a size."""
        torch.manual_seed(0)
        if self.layer == BASELINE:
            return nn.LSTM(1, self.hidden_size)
        if self.layer == LOOP:
            return ReleasedLoop(1, self.hidden_size)
        engine, recurrence, dynamics = self.layer.split()
        return Recurrent(1, self.hidden_size, recurrence=recurrence, dynamics=dynamics, engine=engine)

    def input(self) -> Tensor:
        """A batch like pixel MNIST's: (T, B, 1), four of five pixels black."""
        generator = torch.Generator().manual_seed(1)
        x_TBD = torch.rand(self.steps, self.batch_size, 1, generator=generator)
        return torch.where(x_TBD < 0.8, torch.zeros(()), x_TBD)


def groups(hidden_size: int) -> list[list[Contender]]:
    """Those of one size, in groups that fit into memory together; each is measured against its own baseline."""

    def group(*layers: str) -> list[Contender]:
        return [Contender(layer, hidden_size) for layer in (BASELINE, *layers)]

    momentum = Contender("native lstm momentum", hidden_size)
    return [
        [*group(momentum.layer, "library lstm momentum", LOOP), Contender(momentum.layer, hidden_size, norms=True)],
        group("native lstm identity", "native lstm nesterov", "native lstm rmsprop", "native lstm adam"),
        group("native srlstm_released identity", "reference srlstm_released identity", "reference lstm adam"),
        [*group(), *(Contender(layer, hidden_size, keeps_heap=False) for layer in (BASELINE, momentum.layer))],
    ]


def orthogonal_group(hidden_size: int) -> list[Contender]:
    """Cells with an orthogonal recurrent weight, of one size, with the same baseline."""
    layers = (BASELINE, "native dtriv momentum", "native dtriv adam", "reference dtriv momentum")
    return [Contender(layer, hidden_size) for layer in layers]
