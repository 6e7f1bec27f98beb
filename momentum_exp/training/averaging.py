"""NT-ASGD: gradient descent that turns to averaging its weights once validation no longer improves."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Averaging:
    """The mean of `parameters` over the steps since the trigger; training itself goes on as it was.

    The trigger: after an epoch whose validation loss is worse than the best of all earlier epochs but the newest
    `nonmono`. It acts once, and never in the first nonmono + 1 epochs. The mean is over the weights after each step
    from the second on, as torch.optim.ASGD's with t0 = 0 and lambd = 0.

    Source: Merity, Keskar and Socher 2017, and the released code, which changes to torch.optim.ASGD. There a step
    after the change takes the learning rate that the segment before it should have had; here its own.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], nonmono: int = 5) -> None:
        self.parameters = list(parameters)
        self.nonmono = nonmono
        self.losses: list[float] = []
        self.steps: int | None = None  # since the trigger
        self.means: list[Tensor] = []

    def after_epoch(self, validation_loss: float) -> None:
        """Take note of an epoch's validation loss: start to average where the trigger says so."""
        if self.steps is not None:
            return
        earlier = self.losses[: -self.nonmono]
        if earlier and validation_loss > min(earlier):
            self.steps, self.means = 0, self._copies()
        self.losses.append(validation_loss)

    @torch.no_grad()
    def after_step(self) -> None:
        """Take the weights that a step has left into the means."""
        if self.steps is None:
            return
        self.steps += 1
        for mean, parameter in zip(self.means, self.parameters, strict=True):
            mean.lerp_(parameter, 1 / max(1, self.steps - 1))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the means are in the parameters' place, if there are any."""
        weights = self._copies() if self.means else []
        self._put(self.means)
        try:
            yield
        finally:
            self._put(weights)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and tensors, for a checkpoint."""
        return {"losses": self.losses, "steps": self.steps, "means": self.means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.losses, self.steps = list(state["losses"]), state["steps"]
        pairs = zip(state["means"], self.parameters, strict=False)  # no means before the trigger
        self.means = [mean.to(parameter.device) for mean, parameter in pairs]

    def _copies(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def _put(self, weights: list[Tensor]) -> None:
        for parameter, weight in zip(self.parameters, weights, strict=False):
            parameter.copy_(weight)
