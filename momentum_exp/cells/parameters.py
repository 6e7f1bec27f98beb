"""The parameters of a layer: created, named, initialised and collected; what is learned of its dynamics."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from momentum_exp.cells.constraints.base import Constraint
from momentum_exp.cells.dynamics.base import Dynamics, widened
from momentum_exp.cells.options import learnable
from momentum_exp.cells.recurrences.base import Recurrence
from momentum_exp.cells.weights import Weights

LOW, HIGH = 1e-3, 0.999  # where learned values may start


class Within01(nn.Module):
    """Keeps a learned mu or beta in (0, 1): the sigmoid of a free number."""

    def forward(self, free: Tensor) -> Tensor:
        return free.to(widened(free.dtype)).clamp(-15, 15).sigmoid()  # farther out a float32 is 1

    def right_inverse(self, value: Tensor) -> Tensor:
        """The free number behind `value`, which is first clamped to [1e-3, 0.999]."""
        return value.clamp(LOW, HIGH).logit()


class AboveZero(nn.Module):
    """Keeps a learned s above 0: the exponential of a free number."""

    def forward(self, free: Tensor) -> Tensor:
        return free.to(widened(free.dtype)).clamp(-80, 80).exp()  # farther out a float32 is 0 or infinite

    def right_inverse(self, value: Tensor) -> Tensor:
        """The free number behind `value`, which is first clamped to at least 1e-3."""
        return value.clamp_min(LOW).log()


class Parameters(nn.Module):
    """What `Recurrent` has of parameters, for every layer and direction, under torch.nn.LSTM's names.

    `weight_ih_l0` (G, D), `weight_hh_l0` (G, H), `bias_ih_l0`, `bias_hh_l0` (G,), .. `_reverse`; then what the
    recurrence has beyond these. Where it constrains w_hh, `weight_hh_l0` is the `Constraint`. Learned values of
    the dynamics are `mu_l0`, `s_l0`, `beta_l0`, always within their range: () or, learned per gate, (gate blocks,).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        bidirectional: bool,
        recurrence: Recurrence,
        dynamics: Dynamics,
        learn: Sequence[str] = (),
        learn_per: str = "layer",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.bidirectional = bias, bidirectional
        self.recurrence, self.dynamics = recurrence, dynamics
        self.learn, self.learn_per = tuple(dict.fromkeys(learn)), learn_per
        self._check_learn()

        real = dtype or torch.get_default_dtype()
        number = recurrence.dtype(real)
        gates, extra = recurrence.gate_blocks * hidden_size, recurrence.extra_shapes(hidden_size)
        biases = ("bias_ih", "bias_hh") if bias and recurrence.biased else ()
        for layer, direction in self.stacked():
            suffix = _suffix(layer, direction)
            inputs = input_size if layer == 0 else self.output_size * self.directions
            self._add("weight_ih" + suffix, (gates, inputs), device, number)
            if (constraint := recurrence.constraint(hidden_size)) is not None:
                self.add_module("weight_hh" + suffix, constraint.to(device, number.to_real()))
            else:
                self._add("weight_hh" + suffix, (gates, hidden_size), device, number)
            for name in biases:
                self._add(name + suffix, (gates,), device, number)
            for name, shape in extra.items():
                self._add(name + suffix, shape, device, real)
            for name in self.learn:
                self._add_learned(name, suffix, device, widened(real))
        self.register_load_state_dict_pre_hook(_keep_learned)  # type: ignore[no-untyped-call]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """As in torch, but `.to(dtype)`, `.double()`, .. keep complex parameters complex: they are pairs of reals."""

        def pairwise(tensor: Tensor) -> Tensor:
            if not tensor.is_complex():
                return fn(tensor)
            pairs = fn(torch.view_as_real(tensor))
            return torch.view_as_complex(pairs.to(widened(pairs.dtype)))

        return super()._apply(pairwise, recurse)  # type: ignore[no-any-return, no-untyped-call]

    @property
    def directions(self) -> int:
        """1, or 2 if bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Entries of an output in one direction: H, or 2H where h is complex."""
        return self.recurrence.width(self.hidden_size)

    def stacked(self) -> list[tuple[int, int]]:
        """Every (layer, direction), in the order of the parameters and of the state's first axis."""
        return [(layer, direction) for layer in range(self.num_layers) for direction in range(self.directions)]

    def weights(self, layer: int, direction: int = 0) -> Weights:
        """The parameters of one layer in one direction (0 forward, 1 reverse), a constrained w_hh computed."""
        suffix = _suffix(layer, direction)

        def bias(name: str) -> Tensor | None:
            return getattr(self, name + suffix) if self.bias and self.recurrence.biased else None

        w_ih, w_hh = getattr(self, "weight_ih" + suffix), getattr(self, "weight_hh" + suffix)
        if isinstance(w_hh, Constraint):
            with in_full_precision(w_ih.device.type):
                w_hh = w_hh().to(w_ih.dtype)
        return Weights(
            w_ih,
            w_hh,
            bias("bias_ih"),
            bias("bias_hh"),
            {name: getattr(self, name + suffix) for name in self.recurrence.extra_shapes(self.hidden_size)},
        )

    def dynamics_at(self, layer: int, direction: int = 0) -> Dynamics:
        """The dynamics of one layer in one direction, with its learned values in place."""
        if not self.learn:
            return self.dynamics
        values = {name: getattr(self, name + _suffix(layer, direction)) for name in self.learn}
        if self.learn_per == "gate":
            values = {name: value.repeat_interleave(self.hidden_size) for name, value in values.items()}
        return self.dynamics.with_values(values)

    def learned_values(self) -> dict[str, list[float]]:
        """What is learned of the dynamics, now: `{"mu_l0": [..]}`, one number a layer or one a gate block."""
        names = [name + _suffix(*where) for where in self.stacked() for name in self.learn]
        return {name: getattr(self, name).detach().flatten().tolist() for name in names}

    def draw(self, init: str, forget_bias: float | None, bound: float | None = None) -> None:
        """Draw all weights anew, `bound` being that of `torch`; learned values return to where they started."""
        torch_: Callable[[Weights, float | None], None] = partial(self.recurrence.init_torch_, bound=bound)
        fill = torch_ if init == "torch" else self.recurrence.init_released_
        for layer, direction in self.stacked():
            suffix = _suffix(layer, direction)
            w_hh = getattr(self, "weight_hh" + suffix)
            if isinstance(w_hh, Constraint):
                w_hh.reset_parameters()
            with torch.no_grad():
                fill(self.weights(layer, direction), forget_bias)
                for name in self.learn:
                    setattr(self, name + suffix, torch.full_like(getattr(self, name + suffix), self._start(name)))

    def _add(
        self, name: str, shape: tuple[int, ...], device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))

    def _add_learned(self, name: str, suffix: str, device: torch.device | str | None, dtype: torch.dtype) -> None:
        shape = (self.recurrence.gate_blocks,) if self.learn_per == "gate" else ()
        start = torch.full(shape, self._start(name), device=device, dtype=dtype)
        self.register_parameter(name + suffix, nn.Parameter(start))
        parametrize.register_parametrization(self, name + suffix, AboveZero() if name == "s" else Within01())

    def _start(self, name: str) -> float:
        return float(getattr(self.dynamics, name))

    def _check_learn(self) -> None:
        known = learnable(self.dynamics.name)
        for name in self.learn:
            if name not in known:
                allowed = f"of {', '.join(known)}" if known else "nothing: leave learn out"
                raise ValueError(f"learn={name}: dynamics={self.dynamics.name} can learn {allowed}")
        if self.learn_per not in ("layer", "gate"):
            raise ValueError(f"learn_per={self.learn_per} is unknown; write layer or gate")
        if self.learn_per == "gate" and not self.learn:
            raise ValueError('learn_per=gate has no effect: nothing is learned; write for example learn=["mu"]')


def in_full_precision(device_type: str) -> AbstractContextManager[None]:
    """No autocast inside, where the device has any."""
    available = torch.amp.is_autocast_available(device_type)
    return torch.autocast(device_type, enabled=False) if available else nullcontext()


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters of `model` by what an optimizer should do with them.

    `orthogonal`: free parameters of constrained weights, for a learning rate of their own; `dynamics`: learned
    mu, s and beta, which take no weight decay; `free`: all others.
    """
    groups: dict[str, list[nn.Parameter]] = {"free": [], "dynamics": [], "orthogonal": []}
    owner = {}
    for module in model.modules():
        if isinstance(module, Constraint):
            owner.update(dict.fromkeys(module.parameters(), "orthogonal"))
        elif isinstance(module, Parameters) and module.learn:
            learned = [getattr(module.parametrizations, name).original for name in module.learned_values()]
            owner.update(dict.fromkeys(learned, "dynamics"))
    for parameter in model.parameters():
        groups[owner.get(parameter, "free")].append(parameter)
    return groups


def _keep_learned(layer: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Let the state_dict of a layer that learns nothing, torch's own say, leave the learned values as they are."""
    assert isinstance(layer, Parameters)
    names = [f"parametrizations.{name}.original" for name in layer.learned_values()]
    if not any(prefix + name in state_dict for name in names):
        state_dict.update({prefix + name: layer.get_parameter(name) for name in names})


def _suffix(layer: int, direction: int) -> str:
    return f"_l{layer}" + ("_reverse" if direction else "")
