"""The layer that a validated `cell` configuration describes, and what a task reads of it."""

from torch import Tensor

from momentum_exp.cells import Recurrent, applicable_options
from momentum_exp.config import CellConfig
from momentum_exp.errors import UserError


def build_cell(config: CellConfig, num_features: int) -> Recurrent:
    """The batch-first layer that a validated `cell` configuration describes; draws from torch's global seed.

    Raises UserError for an option that does not go with another, the hidden size say.
    """
    known = applicable_options(config.recurrence, config.dynamics)
    try:
        return Recurrent(
            num_features,
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
            recurrence=config.recurrence,
            dynamics=config.dynamics,
            engine=config.engine,
            weight_dropout=config.weight_dropout or 0.0,
            init=config.init,
            init_range=config.init_range,
            forget_bias=config.forget_bias,
            learn=config.learn or (),
            learn_per=config.learn_per or "layer",
            **{name: value for name in known if (value := getattr(config, name, None)) is not None},
        )
    except ValueError as error:
        raise UserError(f"cell.{error}") from error


def last_hidden(cell: Recurrent, x_BTD: Tensor) -> Tensor:
    """The last layer's final hidden state (B, directions x H): in two directions, where each of them ends."""
    _, state = cell(x_BTD)
    h_DBH: Tensor = cell.recurrence.hidden(state.recurrence)[-cell.directions :]
    return h_DBH.transpose(0, 1).flatten(1)
