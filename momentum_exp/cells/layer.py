"""The layer: recurrence x dynamics x engine, with the call shape and parameters of torch.nn.LSTM."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from momentum_exp.cells.checks import require
from momentum_exp.cells.options import build
from momentum_exp.cells.state import State, fill
from momentum_exp.engines import Weights, engines, resolve_engine
from momentum_exp.engines.reference import Reference

Given = State | tuple[Tensor, ...] | Tensor | None
Observer = Callable[[int, int, int, Tensor, dict[str, Tensor]], None]


class Recurrent(nn.Module):
    """A stack of recurrent layers whose drive follows a dynamics; otherwise as torch.nn.LSTM.

        g_t = W x_t + b_ih ;  u_t = dynamics(g_1 .. g_t) ;  h_t = recurrence(h_{t-1}, u_t)

    input_size .. bidirectional, device, dtype: as in torch.nn.LSTM. The parameters have its names and shapes
        (`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, .. `_reverse`; G = gate blocks * H rows), so
        that a state_dict moves between the two.
    recurrence, dynamics: by name, see `recurrence_names()` and `dynamics_names()`.
    engine: `auto` (the fastest where the parameters are), `reference` or `library`; `layer.engine` is the choice.
    init: `torch` (equal to torch.nn.LSTM's for the same seed) or `released` (as in the released code).
    forget_bias: the value put into the forget gate's part of each of the two biases; None: what `init` says.
    options: those of the recurrence and the dynamics (mu, s, beta, restart, ..), see `applicable_options()`.

    Raises ValueError for an option that is unknown, out of range or without effect.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        recurrence: str = "lstm",
        dynamics: str = "identity",
        engine: str = "auto",
        init: str = "torch",
        forget_bias: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout, self.init, self.forget_bias = dropout, init, forget_bias
        self._observer: Observer | None = None
        for name in ("input_size", "hidden_size", "num_layers"):
            require(getattr(self, name) >= 1, name, getattr(self, name), f"{name} >= 1")
        require(0 <= dropout <= 1, "dropout", dropout, "0 <= dropout <= 1")
        require(init in ("torch", "released"), "init", init, "torch or released")
        if dropout and num_layers == 1:
            warnings.warn(f"dropout={dropout} acts between layers: no effect with num_layers=1", stacklevel=2)
        self.recurrence, self.dynamics = build(recurrence, dynamics, options)
        if forget_bias is not None and (self.recurrence.forget_block is None or not bias):
            raise ValueError(f"forget_bias={forget_bias} has no effect without a forget gate's bias; leave it out")
        resolve_engine(recurrence, dynamics, engine)  # one that can't is refused at once
        self._wanted_engine = engine

        gates = self.recurrence.gate_blocks * hidden_size
        for layer, direction in self._stacked():
            inputs = input_size if layer == 0 else hidden_size * self.directions
            shapes: list[tuple[str, tuple[int, ...]]]
            shapes = [("weight_ih", (gates, inputs)), ("weight_hh", (gates, hidden_size))]
            if bias:
                shapes += [("bias_ih", (gates,)), ("bias_hh", (gates,))]
            for name, shape in shapes:
                parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                self.register_parameter(name + _suffix(layer, direction), parameter)
        self.reset_parameters()

    @property
    def directions(self) -> int:
        """1, or 2 if bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def engine(self) -> str:
        """The name of the engine in use; `auto` is resolved for the device that the parameters are on."""
        device_type = self.weights(0).w_ih.device.type
        return resolve_engine(self.recurrence.name, self.dynamics.name, self._wanted_engine, device_type)

    def flatten_parameters(self) -> None:
        """Nothing: there for code written for torch.nn.LSTM, which packs its weights for cuDNN here."""

    def weights(self, layer: int, direction: int = 0) -> Weights:
        """The parameters of one layer in one direction (0 forward, 1 reverse)."""
        suffix = _suffix(layer, direction)
        w_ih, w_hh = getattr(self, "weight_ih" + suffix), getattr(self, "weight_hh" + suffix)
        if not self.bias:
            return Weights(w_ih, w_hh, None, None)
        return Weights(w_ih, w_hh, getattr(self, "bias_ih" + suffix), getattr(self, "bias_hh" + suffix))

    def reset_parameters(self) -> None:
        """Draw all parameters anew, as `init` says."""
        fill_ = self.recurrence.init_torch_ if self.init == "torch" else self.recurrence.init_released_
        for layer, direction in self._stacked():
            fill_(*self.weights(layer, direction), self.forget_bias)

    def forward(self, input: Tensor | PackedSequence, state: Given = None) -> tuple[Any, State]:
        """All layers over all steps.

        input: (T, B, D); (B, T, D) if batch_first; (T, D) without a batch; or a PackedSequence.
        state: what an earlier call returned, or None for zero; a plain `(h, c)` means zero momentum.
        Returns the last layer's outputs, laid out as the input with H * directions entries, and the state. Calls
        that carry the state on equal one long call, in the forward direction; the reverse direction starts at
        each sequence's own end.
        Raises ValueError for an input or a state of the wrong shape.
        """
        if isinstance(input, PackedSequence):
            data, batch_sizes, order, back = input
            self._check(data, "a PackedSequence with data (N, D)", data.dim() == 2)
            x_TBD, lengths_B = pad_packed_sequence(PackedSequence(data, batch_sizes))
            begin = self._begin(x_TBD, state)
            y_TBH, end = self._run(x_TBD, begin if order is None else begin[:, order], lengths_B)
            data = pack_padded_sequence(y_TBH, lengths_B).data
            return PackedSequence(data, batch_sizes, order, back), end if back is None else end[:, back]

        layout = "(B, T, D)" if self.batch_first else "(T, B, D)"
        self._check(input, f"{layout} or (T, D)", input.dim() in (2, 3))
        if input.dim() == 2:
            x_TBD = input.unsqueeze(1)
            y_TBH, end = self._run(x_TBD, self._begin(x_TBD, state, batched=False))
            return y_TBH.squeeze(1), end.map(lambda tensor: tensor.squeeze(1))
        x_TBD = input.transpose(0, 1) if self.batch_first else input
        y_TBH, end = self._run(x_TBD, self._begin(x_TBD, state))
        return y_TBH.transpose(0, 1) if self.batch_first else y_TBH, end

    @contextmanager
    def observe(self, callback: Observer) -> Iterator[None]:
        """Inside, forward runs the reference engine and reports each step.

        After each step it calls `callback(layer, direction, t, pre_BG, state)`: t counts in the direction's own
        order from 0; pre_BG enters the gates (`layer.recurrence.gates` gives their values); state holds the
        recurrence's tensors, (B, .) each, the very ones in the graph, so that gradients can be retained on h and
        c. The rows of a PackedSequence are in its sorted order.
        """
        self._observer = callback
        try:
            yield
        finally:
            self._observer = None

    def extra_repr(self) -> str:
        shape = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        changed = [f"{name}={getattr(self, name)}" for name, usual in shape.items() if getattr(self, name) != usual]
        parts = [f"{self.input_size}, {self.hidden_size}", *changed]
        return ", ".join([*parts, f"{self.recurrence}, {self.dynamics}, engine={self.engine}, init={self.init}"])

    def _stacked(self) -> list[tuple[int, int]]:
        """Every (layer, direction), in the order of the parameters and of the state's first axis."""
        return [(layer, direction) for layer in range(self.num_layers) for direction in range(self.directions)]

    def _check(self, data: Tensor, layout: str, right_rank: bool) -> None:
        if not right_rank or data.shape[-1] != self.input_size or not data.numel():
            raise ValueError(
                f"input of shape {tuple(data.shape)}: expected {layout}, not empty, with D = {self.input_size}"
            )

    def _begin(self, x_TBD: Tensor, given: Given, batched: bool = True) -> State:
        """The state to start from, with zeros for what is not given; no dynamics means zero momentum."""
        stacks = len(self._stacked())
        g_BG = x_TBD.new_zeros(x_TBD.shape[1], self.recurrence.gate_blocks * self.hidden_size)
        zero = State(self.recurrence.initial_state(x_TBD[0], self.hidden_size), self.dynamics.initial_state(g_BG)).map(
            lambda tensor: tensor.expand(stacks, *tensor.shape)
        )
        if given is None:
            return State(zero.recurrence)
        if not isinstance(given, State):
            tensors = (given,) if isinstance(given, Tensor) else tuple(given)
            names = list(zero.public())
            if len(tensors) != len(names):
                raise ValueError(f"state of {len(tensors)} tensors: expected {', '.join(names)}, or a State")
            given = State(dict(zip(names, tensors, strict=True)))
        if not batched:
            given = given.map(lambda tensor: tensor.unsqueeze(1))
        recurrence = fill(given.recurrence, zero.recurrence)
        if not given.dynamics:
            return State(recurrence)
        return State(recurrence, self.dynamics.resume(fill(given.dynamics, zero.dynamics)))

    def _run(self, x_TBD: Tensor, begin: State, lengths_B: Tensor | None = None) -> tuple[Tensor, State]:
        """Every layer in every direction: the last layer's outputs and the state at the end."""
        ends: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x_TBD = F.dropout(x_TBD, self.dropout, self.training)
            outputs = []
            for direction in range(self.directions):
                run = engines()[self.engine].run
                if self._observer is not None:
                    run = partial(Reference.run, observer=partial(self._observer, layer, direction))
                at = begin[len(ends)]
                y_TBH, recurrence_state, dynamics_state = run(
                    self.recurrence,
                    self.dynamics,
                    flipped(x_TBD, lengths_B) if direction else x_TBD,
                    self.weights(layer, direction),
                    at.recurrence,
                    at.dynamics or None,
                    lengths_B,
                )
                outputs.append(flipped(y_TBH, lengths_B) if direction else y_TBH)
                ends.append(State(recurrence_state, dynamics_state))
            x_TBD = torch.cat(outputs, 2) if self.bidirectional else outputs[0]
        return x_TBD, State.stack(ends)


def flipped(x_TBD: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Each sequence in reverse order within its own length; padding stays where it is."""
    if lengths_B is None:
        return x_TBD.flip(0)
    t_T1 = torch.arange(len(x_TBD))[:, None]
    source_TB = torch.where(t_T1 < lengths_B, lengths_B - 1 - t_T1, t_T1)
    return x_TBD[source_TB.to(x_TBD.device), torch.arange(x_TBD.shape[1], device=x_TBD.device)]


def _suffix(layer: int, direction: int) -> str:
    return f"_l{layer}" + ("_reverse" if direction else "")
