"""A frame for every step of a sequence: linear readout of every hidden state, mean squared error."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from momentum_exp.cells import Recurrent
from momentum_exp.config import Config
from momentum_exp.data.dataset import Batch, Dataset
from momentum_exp.data.frames import Frames
from momentum_exp.errors import UserError
from momentum_exp.tasks.cell import build_cell
from momentum_exp.tasks.task import Carry, Evaluation, Task


class FramePrediction(Task):
    """`y_t = readout(h_t)` over a batch-first cell (release: timit.py, one nn.Linear on every state)."""

    def __init__(self, cell: Recurrent, num_features: int) -> None:
        super().__init__()
        self.cell = cell
        self.readout = nn.Linear(cell.output_size * cell.directions, num_features)

    @property
    def cells(self) -> Sequence[Recurrent]:
        return (self.cell,)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """The predicted frames (S, D) of all S = sum(lengths_B) steps, one sequence after the other.

        Nothing depends on what stands behind a sequence's end: forwards it comes too late, and in two directions the
        sequences are packed, which is several times slower on a CPU.
        """
        if self.cell.directions == 1:
            y_BTH, _ = self.cell(x_BTD)
        else:
            packed, _ = self.cell(pack_padded_sequence(x_BTD, lengths_B, batch_first=True, enforce_sorted=False))
            y_BTH, _ = pad_packed_sequence(packed, batch_first=True, total_length=x_BTD.shape[1])
        prediction: Tensor = self.readout(y_BTH[within(lengths_B, x_BTD)])
        return prediction

    def evaluate(self, batch: Batch, carry: Carry = None) -> Evaluation:
        """Mean squared error over all steps and features of targets (B, T, D), in dB^2 for spectra in dB.

        Its weight is the number of steps: the mean over batches is the mean over all steps of a split, which the
        release takes in one batch.
        """
        assert batch.lengths_B is not None
        prediction_SD = self(batch.inputs, batch.lengths_B).float()
        target_SD = batch.targets[within(batch.lengths_B, batch.targets)]
        return Evaluation(F.mse_loss(prediction_SD, target_SD), {}, len(target_SD))


def within(lengths_B: Tensor, x_BTD: Tensor) -> Tensor:
    """Which steps (B, T) lie before their sequence's end, on the device of x_BTD."""
    return (torch.arange(x_BTD.shape[1]) < lengths_B[:, None]).to(x_BTD.device)


def build(config: Config, dataset: Dataset) -> FramePrediction:
    """The model for a data set of sequences of frames. Raises UserError for any other."""
    if not isinstance(dataset, Frames):
        raise UserError(
            f"task.name=frame_prediction needs sequences of frames, which data.name={config.data.name} has not; "
            "write for example data=timit_sample"
        )
    return FramePrediction(build_cell(config.cell, dataset.num_features), dataset.num_features)


def rebuild(config: Config, weights: Mapping[str, Tensor]) -> FramePrediction:
    """The model that weights of these shapes belong to."""
    num_features = len(weights["readout.weight"])
    return FramePrediction(build_cell(config.cell, num_features), num_features)
