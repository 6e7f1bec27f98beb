"""Tasks: head, loss and metrics around a cell."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from momentum_exp.config import Config
from momentum_exp.data.dataset import Dataset
from momentum_exp.tasks.task import Carry, Evaluation, Task

__all__ = ["Carry", "Evaluation", "Task", "build_task", "carries_state", "rebuild_task", "task_options"]


def task_options(name: str) -> dict[str, Any]:
    """The keys of `task` that the task `name` reads beside its name, with their defaults: its module's OPTIONS."""
    return dict(getattr(import_module(f"{__name__}.{name}"), "OPTIONS", {}))


def carries_state(name: str) -> bool:
    """Whether the task `name` hands its state from one batch to the next: its module's CARRIES_STATE."""
    return bool(getattr(import_module(f"{__name__}.{name}"), "CARRIES_STATE", False))


def build_task(config: Config, dataset: Dataset) -> Task:
    """The model of a run, initialised from `config.seed` on the CPU, so that every device starts alike.

    `task.name` is a module of this package with a `build(config, dataset)`. Raises UserError where the task and
    the data set do not go together.
    """
    torch.manual_seed(config.seed)
    task: Task = import_module(f"{__name__}.{config.task.name}").build(config, dataset)
    return task


def rebuild_task(config: Config, weights: Mapping[str, Tensor]) -> Task:
    """The model that `weights`, a checkpoint's, belong to, without its data set; they are loaded on the CPU.

    `task.name` is a module of this package with a `rebuild(config, weights)`.
    """
    task: Task = import_module(f"{__name__}.{config.task.name}").rebuild(config, weights)
    task.load_state_dict(dict(weights))
    return task
