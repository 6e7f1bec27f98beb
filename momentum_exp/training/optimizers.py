"""torch.optim's algorithms under the flat keys of `optimizer`, each parameter with what is meant for it."""

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from momentum_exp.cells import after_step, parameter_groups
from momentum_exp.config import Config, OptimizerConfig
from momentum_exp.data import Dataset
from momentum_exp.errors import UserError
from momentum_exp.training.averaging import Averaging

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "ntasgd": torch.optim.SGD,
}
AVERAGING = ("ntasgd",)
"""Those that turn to averaging (`training/averaging.py`)."""

OURS = {"name", "decay", "decay_after", "lr_orthogonal", "orthogonal"}
"""Keys that every algorithm has and torch's know nothing of."""


def optimizer_options(name: str) -> tuple[str, ...]:
    """The keys of `optimizer` that the algorithm `name` reads, those of constrained weights included."""
    parameters = set(inspect.signature(OPTIMIZERS[name]).parameters)
    if "betas" in parameters:
        parameters |= {"beta1", "beta2"}
    if name in AVERAGING:
        parameters |= {"nonmono"}
    return tuple(key for key in OptimizerConfig.__dataclass_fields__ if key in parameters | OURS)


def decay_factor(config: OptimizerConfig, epoch: int) -> float:
    """What the learning rate of an epoch, counted from 0, is times `lr`: decay ** (epochs after decay_after).

    Zaremba et al. 2014: 0.5 and 4 make epochs 1 to 4 run at lr, epoch 5 at lr / 2, epoch 6 at lr / 4, ..
    """
    if config.decay is None:
        return 1.0
    return float(config.decay ** max(0, epoch + 1 - (config.decay_after or 1)))


def check_validation(config: Config, dataset: Dataset) -> None:
    """Raise UserError where an optimizer goes by the validation loss and nothing is held out."""
    name = config.optimizer.name
    if name in AVERAGING and dataset.evaluation("val", config.trainer.batch_size) is None:
        raise UserError(
            f"optimizer.name={name} turns to averaging by the validation loss, and data set {config.data.name} holds "
            "nothing out; write for example data.validation=5000"
        )


class Optimizers:
    """One algorithm for the free parameters and, where there are any, one for those of constrained weights.

    averaging: of the weights, where the algorithm has it.
    """

    def __init__(
        self, model: nn.Module, parts: Sequence[torch.optim.Optimizer], averaging: Averaging | None = None
    ) -> None:
        self.model, self.parts, self.averaging = model, list(parts), averaging

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self, lr_scale: float = 1.0) -> None:
        """Update all parameters, learning rates times `lr_scale`, then let constrained weights re-base and project."""
        groups = [group for part in self.parts for group in part.param_groups]
        rates = [group["lr"] for group in groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * lr_scale
        for part in self.parts:
            part.step()
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        after_step(self.model)
        if self.averaging is not None:
            self.averaging.after_step()

    def after_epoch(self, validation_loss: float | None) -> None:
        """What the algorithm does at the end of an epoch; None: nothing is held out."""
        if self.averaging is not None and validation_loss is not None:
            self.averaging.after_epoch(validation_loss)

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the model has the weights to evaluate it at: averaged ones where the algorithm has come to them."""
        return nullcontext() if self.averaging is None else self.averaging.averaged()

    def facts(self) -> dict[str, int]:
        """For the record of an epoch: `averaged_steps`, how many steps the evaluated weights are a mean of."""
        return {} if self.averaging is None else {"averaged_steps": self.averaging.steps or 0}

    def state_dict(self) -> dict[str, Any]:
        """The parts' states, by their place, and that of `averaging`."""
        states = {str(place): part.state_dict() for place, part in enumerate(self.parts)}
        return states if self.averaging is None else {**states, "averaging": self.averaging.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave. Raises KeyError where a part is missing."""
        if "param_groups" in state:  # a checkpoint from when there was one algorithm alone
            state = {"0": state}
        for place, part in enumerate(self.parts):
            part.load_state_dict(state[str(place)])
        if self.averaging is not None:
            self.averaging.load_state_dict(state["averaging"])


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizers:
    """The optimizers that `config` describes; null keys take torch's defaults.

    Constrained weights have `lr_orthogonal` and, where `orthogonal` names one, an algorithm of their own (release:
    timit_div.py trains with Adam, its orthogonal weight with RMSprop). Neither they nor learned mu, s, beta decay.
    Constrained weights are not averaged: what their parameters mean changes as they are re-based.
    """
    options: dict[str, Any] = {
        key: value
        for key in optimizer_options(config.name)
        if key not in OURS | {"nonmono"} and (value := getattr(config, key)) is not None
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
    averaging = None
    if config.name in AVERAGING:
        averaging = Averaging([*groups["free"], *groups["dynamics"]], config.nonmono or 5)
    return Optimizers(model, parts, averaging)
