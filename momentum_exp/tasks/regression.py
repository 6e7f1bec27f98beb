"""One number for a whole sequence: linear readout of the last hidden state, mean squared error."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from momentum_exp.cells import Recurrent
from momentum_exp.config import Config
from momentum_exp.data.adding import Adding
from momentum_exp.data.dataset import Batch, Dataset
from momentum_exp.errors import UserError
from momentum_exp.tasks.cell import build_cell, last_hidden
from momentum_exp.tasks.task import Carry, Evaluation, Task


class Regression(Task):
    """`prediction = readout(h_T)` over a batch-first cell."""

    def __init__(self, cell: Recurrent) -> None:
        super().__init__()
        self.cell = cell
        self.readout = nn.Linear(cell.output_size * cell.directions, 1)

    @property
    def cells(self) -> Sequence[Recurrent]:
        return (self.cell,)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Predictions (B,). In two directions both final states are read."""
        prediction: Tensor = self.readout(last_hidden(self.cell, x_BTD)).squeeze(1)
        return prediction

    def evaluate(self, batch: Batch, carry: Carry = None) -> Evaluation:
        """Mean squared error against targets (B,)."""
        return Evaluation(F.mse_loss(self(batch.inputs).float(), batch.targets), {}, len(batch.targets))


def build(config: Config, dataset: Dataset) -> Regression:
    """The regressor for the adding problem. Raises UserError for any other data set."""
    if not isinstance(dataset, Adding):
        raise UserError(
            f"task.name=regression needs a number for every sequence, which data.name={config.data.name} has not; "
            "write data=adding"
        )
    return Regression(build_cell(config.cell, dataset.num_features))


def rebuild(config: Config, weights: Mapping[str, Tensor]) -> Regression:
    """The regressor that weights of these shapes belong to."""
    return Regression(build_cell(config.cell, weights["cell.weight_ih_l0"].shape[1]))
