"""Tasks: head, loss and metrics around a cell."""

import torch

from momentum_exp.cells import Recurrent, applicable_options
from momentum_exp.config import CellConfig, Config
from momentum_exp.data.dataset import Dataset
from momentum_exp.errors import UserError
from momentum_exp.tasks.classification import Classification, Outcome

__all__ = ["Classification", "Outcome", "build_cell", "build_task"]


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
            init=config.init,
            forget_bias=config.forget_bias,
            learn=config.learn or (),
            learn_per=config.learn_per or "layer",
            **{name: getattr(config, name) for name in known if hasattr(config, name)},
        )
    except ValueError as error:
        raise UserError(f"cell.{error}") from error


def build_task(config: Config, dataset: Dataset) -> Classification:
    """The model of a run, initialised from `config.seed` on the CPU, so that every device starts alike."""
    torch.manual_seed(config.seed)
    return Classification(build_cell(config.cell, dataset.num_features), dataset.num_classes)
