"""torch.optim's algorithms under the flat keys of `optimizer`, each parameter with what is meant for it."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from momentum_exp.cells import after_step, parameter_groups
from momentum_exp.config import OptimizerConfig

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def optimizer_options(name: str) -> tuple[str, ...]:
    """The keys of `optimizer` that the algorithm `name` reads, those of constrained weights included."""
    parameters = set(inspect.signature(OPTIMIZERS[name]).parameters)
    if "betas" in parameters:
        parameters |= {"beta1", "beta2"}
    ours = {"name", "lr_orthogonal", "orthogonal"}
    return tuple(key for key in OptimizerConfig.__dataclass_fields__ if key in parameters | ours)


class Optimizers:
    """One algorithm for the free parameters and, where there are any, one for those of constrained weights."""

    def __init__(self, model: nn.Module, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.model, self.parts = model, list(parts)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        """Update all parameters, then let constrained weights re-base and project."""
        for part in self.parts:
            part.step()
        after_step(self.model)

    def state_dict(self) -> dict[str, Any]:
        """The parts' states, by their place."""
        return {str(place): part.state_dict() for place, part in enumerate(self.parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave. Raises KeyError where a part is missing."""
        for place, part in enumerate(self.parts):
            part.load_state_dict(state[str(place)])


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizers:
    """The optimizers that `config` describes; null keys take torch's defaults.

    Constrained weights have `lr_orthogonal` and, where `orthogonal` names one, an algorithm of their own (release:
    timit_div.py trains with Adam, its orthogonal weight with RMSprop). Neither they nor learned mu, s, beta decay.
    """
    options: dict[str, Any] = {
        key: value
        for key in optimizer_options(config.name)
        if key not in ("name", "lr_orthogonal", "orthogonal") and (value := getattr(config, key)) is not None
    }
    if "beta1" in options or "beta2" in options:
        options["betas"] = (options.pop("beta1", 0.9), options.pop("beta2", 0.999))
    groups = parameter_groups(model)
    free: list[dict[str, Any]] = [{"params": groups["free"]}, {"params": groups["dynamics"], "weight_decay": 0.0}]
    parts = [OPTIMIZERS[config.name]([group for group in free if group["params"]], **options)]
    if groups["orthogonal"]:
        own = {"lr": config.lr_orthogonal or config.lr, "weight_decay": 0.0}
        name = config.orthogonal or config.name
        inherited = options if config.orthogonal in (None, config.name) else {}
        parts.append(OPTIMIZERS[name](groups["orthogonal"], **{**inherited, **own}))
    return Optimizers(model, parts)
