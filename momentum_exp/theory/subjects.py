"""The cells that are looked at: untrained with a given norm of U, and trained on the embedded digits."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from momentum_exp.cells import Recurrent
from momentum_exp.config import DataConfig
from momentum_exp.data import digits
from momentum_exp.data.labelled import Labelled, Split, shuffled_batches

HIDDEN_SIZE = 48
SEED = 0
EPOCHS, BATCH_SIZE, LR, CLIP_NORM = 40, 64, 0.003, 1.0


def digits_float64() -> Labelled:
    """The embedded digits, pixel by pixel (T = 64), in float64."""
    read = digits.load(DataConfig(name="digits"), Path(), SEED)
    return read.map(lambda split: Split(split.inputs_NTD.double(), split.targets))


@dataclass(eq=False)
class Subject:
    """A tanh network with momentum, s = 1, and the readout of its last hidden state, in float64.

    accuracy: on the test rows, as a fraction, once it is trained.
    """

    mu: float
    layer: Recurrent
    readout: nn.Linear
    accuracy: float | None = None

    @property
    def norm(self) -> float:
        """||U||_2."""
        return float(torch.linalg.matrix_norm(self.layer.weights(0).w_hh.detach(), 2))

    def logits(self, x_BTD: Tensor) -> Tensor:
        """(B, classes)."""
        _, (h_1BH,) = self.layer(x_BTD.transpose(0, 1))
        scores_BC: Tensor = self.readout(h_1BH[0])
        return scores_BC


def untrained(mu: float, norm: float | None = None, hidden_size: int = HIDDEN_SIZE) -> Subject:
    """torch's own initialisation from seed 0, then U scaled to ||U||_2 = `norm` (None: as drawn)."""
    torch.manual_seed(SEED)
    layer = Recurrent(
        1, hidden_size, recurrence="rnn", activation="tanh", dynamics="momentum", mu=mu, s=1.0, dtype=torch.float64
    )
    readout = nn.Linear(hidden_size, 10, dtype=torch.float64)
    if norm is not None:
        with torch.no_grad():
            U_HH = layer.weights(0).w_hh
            U_HH *= norm / torch.linalg.matrix_norm(U_HH, 2)
    return Subject(mu, layer, readout)


def trained(mu: float, dataset: Labelled, hidden_size: int = HIDDEN_SIZE, epochs: int = EPOCHS) -> Subject:
    """The untrained cell with U as drawn, then trained to classify `dataset`: cross-entropy, Adam, clipped norm."""
    subject = untrained(mu, hidden_size=hidden_size)
    parameters = [*subject.layer.parameters(), *subject.readout.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=LR)
    inputs_NTD, targets = dataset.train.inputs_NTD, dataset.train.targets
    for epoch in range(epochs):
        for index in shuffled_batches(len(targets), BATCH_SIZE, SEED, epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(subject.logits(inputs_NTD[index]), targets[index])
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(parameters, CLIP_NORM)
            optimizer.step()
    with torch.no_grad():
        right = subject.logits(dataset.test.inputs_NTD).argmax(1) == dataset.test.targets
        subject.accuracy = float(right.double().mean())
    return subject
