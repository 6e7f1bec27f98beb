"""torch.optim's algorithms under the flat keys of `optimizer`."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from momentum_exp.config import OptimizerConfig

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def optimizer_options(name: str) -> tuple[str, ...]:
    """The keys of `optimizer` that the algorithm `name` reads."""
    parameters = set(inspect.signature(OPTIMIZERS[name]).parameters)
    if "betas" in parameters:
        parameters |= {"beta1", "beta2"}
    return tuple(key for key in OptimizerConfig.__dataclass_fields__ if key == "name" or key in parameters)


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer that `config` names; null keys take torch's defaults."""
    options: dict[str, Any] = {
        key: value
        for key in optimizer_options(config.name)
        if key != "name" and (value := getattr(config, key)) is not None
    }
    if "beta1" in options or "beta2" in options:
        options["betas"] = (options.pop("beta1", 0.9), options.pop("beta2", 0.999))
    return OPTIMIZERS[config.name](parameters, **options)
