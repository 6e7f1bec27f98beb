"""One label for a whole sequence: linear readout of the last hidden state, cross-entropy, accuracy."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from momentum_exp.cells import Recurrent


@dataclass(frozen=True)
class Outcome:
    """What a batch gives: the mean loss (to differentiate), other means, and the weight of the batch."""

    loss: Tensor
    metrics: dict[str, Tensor]
    weight: int


class Classification(nn.Module):
    """`logits = readout(h_T)` over a batch-first cell (release: mnist.py, one nn.Linear on the last state)."""

    def __init__(self, cell: Recurrent, num_classes: int) -> None:
        super().__init__()
        self.cell = cell
        self.readout = nn.Linear(cell.output_size * cell.directions, num_classes)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Logits (B, classes). In two directions both final states are read."""
        _, state = self.cell(x_BTD)
        h_last = self.cell.recurrence.hidden(state.recurrence)[-self.cell.directions :].transpose(0, 1).flatten(1)
        logits: Tensor = self.readout(h_last)
        return logits

    def evaluate(self, inputs_BTD: Tensor, targets_B: Tensor) -> Outcome:
        """Cross-entropy and accuracy, means over the batch."""
        logits = self(inputs_BTD).float()
        loss = F.cross_entropy(logits, targets_B)
        with torch.no_grad():
            accuracy = (logits.argmax(1) == targets_B).double().mean()
        return Outcome(loss, {"accuracy": accuracy}, len(targets_B))
