"""A label at every step: linear readout of every hidden state, cross-entropy over all steps."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from momentum_exp.cells import Recurrent
from momentum_exp.config import Config
from momentum_exp.data.copying import COPIED, Copying
from momentum_exp.data.dataset import Batch, Dataset
from momentum_exp.errors import UserError
from momentum_exp.tasks.cell import build_cell
from momentum_exp.tasks.task import Carry, Evaluation, Task


class SequenceLabelling(Task):
    """`logits_t = readout(h_t)` over a batch-first cell. The last `recalled` labels are those that take memory."""

    def __init__(self, cell: Recurrent, num_classes: int, recalled: int) -> None:
        super().__init__()
        self.cell = cell
        self.readout = nn.Linear(cell.output_size * cell.directions, num_classes)
        self.recalled = recalled

    @property
    def cells(self) -> Sequence[Recurrent]:
        return (self.cell,)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Logits (B, T, classes)."""
        h_BTH, _ = self.cell(x_BTD)
        logits: Tensor = self.readout(h_BTH)
        return logits

    def evaluate(self, batch: Batch, carry: Carry = None) -> Evaluation:
        """Cross-entropy (nats a step) over all steps, accuracy over the last `recalled`; labels (B, T)."""
        logits_BTK = self(batch.inputs).float()
        loss = F.cross_entropy(logits_BTK.flatten(0, 1), batch.targets.flatten())
        with torch.no_grad():
            right = logits_BTK[:, -self.recalled :].argmax(2) == batch.targets[:, -self.recalled :]
        return Evaluation(loss, {"accuracy": right.double().mean()}, len(batch.targets))


def build(config: Config, dataset: Dataset) -> SequenceLabelling:
    """The labeller for the copying task. Raises UserError for any other data set."""
    if not isinstance(dataset, Copying):
        raise UserError(
            f"task.name=sequence_labelling needs a label at every step, which data.name={config.data.name} has not; "
            "write data=copying"
        )
    return SequenceLabelling(build_cell(config.cell, dataset.num_classes), dataset.num_classes, dataset.recalled)


def rebuild(config: Config, weights: Mapping[str, Tensor]) -> SequenceLabelling:
    """The labeller that weights of these shapes belong to."""
    num_classes = len(weights["readout.weight"])
    return SequenceLabelling(build_cell(config.cell, num_classes), num_classes, COPIED)
