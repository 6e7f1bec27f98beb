"""One label for a whole sequence: linear readout of the last hidden state, cross-entropy, accuracy."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from momentum_exp.cells import Recurrent
from momentum_exp.config import Config
from momentum_exp.data.dataset import Batch, Dataset
from momentum_exp.data.labelled import Labelled
from momentum_exp.errors import UserError
from momentum_exp.tasks.cell import build_cell, last_hidden
from momentum_exp.tasks.task import Carry, Evaluation, Task


class Classification(Task):
    """`logits = readout(h_T)` over a batch-first cell (release: mnist.py, one nn.Linear on the last state)."""

    def __init__(self, cell: Recurrent, num_classes: int) -> None:
        super().__init__()
        self.cell = cell
        self.readout = nn.Linear(cell.output_size * cell.directions, num_classes)

    @property
    def cells(self) -> Sequence[Recurrent]:
        return (self.cell,)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Logits (B, classes). In two directions both final states are read."""
        logits: Tensor = self.readout(last_hidden(self.cell, x_BTD))
        return logits

    def evaluate(self, batch: Batch, carry: Carry = None) -> Evaluation:
        """Cross-entropy and accuracy against targets (B,), means over the batch."""
        logits = self(batch.inputs).float()
        loss = F.cross_entropy(logits, batch.targets)
        with torch.no_grad():
            accuracy = (logits.argmax(1) == batch.targets).double().mean()
        return Evaluation(loss, {"accuracy": accuracy}, len(batch.targets))


def build(config: Config, dataset: Dataset) -> Classification:
    """The classifier for a data set of labelled sequences. Raises UserError for any other."""
    if not isinstance(dataset, Labelled):
        raise UserError(
            f"task.name=classification needs labelled sequences, which data.name={config.data.name} has not"
        )
    return Classification(build_cell(config.cell, dataset.num_features), dataset.num_classes)


def rebuild(config: Config, weights: Mapping[str, Tensor]) -> Classification:
    """The classifier that weights of these shapes belong to."""
    return Classification(
        build_cell(config.cell, weights["cell.weight_ih_l0"].shape[1]), len(weights["readout.weight"])
    )
