"""The layer: recurrence x dynamics x engine, with the call shape and parameters of torch.nn.LSTM."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from momentum_exp.cells.checks import require, require_word
from momentum_exp.cells.options import build
from momentum_exp.cells.parameters import Parameters
from momentum_exp.cells.state import State, fill
from momentum_exp.engines import resolve_engine, runner
from momentum_exp.engines.base import Unroll
from momentum_exp.engines.kernel import Trace
from momentum_exp.engines.native import Native
from momentum_exp.engines.reference import Reference

Given = State | tuple[Tensor, ...] | Tensor | None
Observer = Callable[[int, int, int, Tensor, dict[str, Tensor]], None]


class Recurrent(Parameters):
    """A stack of recurrent layers whose drive follows a dynamics; otherwise as torch.nn.LSTM.

        g_t = W x_t + b_ih ;  u_t = dynamics(g_1 .. g_t) ;  h_t = recurrence(h_{t-1}, u_t)

    input_size .. bidirectional, device, dtype: as in torch.nn.LSTM. The parameters have its names and shapes
        (`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, .. `_reverse`; G = gate blocks * H rows), so
        that a state_dict moves between the two; `Parameters` tells what some recurrences have beyond these.
    recurrence, dynamics: by name, see `recurrence_names()` and `dynamics_names()`.
    engine: `auto` (the fastest where the parameters are), `reference`, `library`, `native` or `cudagraph`;
        `layer.engine` tells.
    weight_dropout: in training, probability of each entry of w_hh to be zero, drawn once a call (`Weights`).
    init: `torch` (equal to torch.nn.LSTM's for the same seed) or `released` (as in the released code).
    init_range: `torch` draws from U(-init_range, init_range); None: from torch's U(-1/sqrt(H), 1/sqrt(H)).
    forget_bias: the value put into the forget gate's part of each of the two biases; None: what `init` says.
    learn: which of mu, s and beta are learned, from where the options put them (but mu and beta from within
        [0.001, 0.999]); learn_per: `layer` (one number a layer and direction) or `gate` (one a gate block).
    options: those of the recurrence and the dynamics (mu, s, beta, restart, ..), see `applicable_options()`.

    Raises ValueError for an option that is unknown, out of range or without effect.
    """

    weight_ih_l0: Tensor

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
        weight_dropout: float = 0.0,
        init: str = "torch",
        init_range: float | None = None,
        forget_bias: float | None = None,
        learn: Sequence[str] = (),
        learn_per: str = "layer",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            require(size >= 1, name, size, f"{name} >= 1")
        require(0 <= dropout <= 1, "dropout", dropout, "0 <= dropout <= 1")
        require(0 <= weight_dropout < 1, "weight_dropout", weight_dropout, "0 <= weight_dropout < 1")
        require_word("init", init, ("torch", "released"))
        if init_range is not None:
            require(init == "torch" and init_range > 0, "init_range", init_range, "init=torch and init_range > 0")
        if dropout and num_layers == 1:
            warnings.warn(f"dropout={dropout} acts between layers: no effect with num_layers=1", stacklevel=2)
        pair = build(recurrence, dynamics, options)
        if not bias and not pair[0].biased:
            raise ValueError(f"bias=False has no effect: recurrence={recurrence} has no biases; leave bias out")
        if forget_bias is not None and (pair[0].forget_block is None or not bias):
            raise ValueError(f"forget_bias={forget_bias} has no effect without a forget gate's bias; leave it out")
        if engine != "auto":  # one that can't run anywhere is refused at once
            resolve_engine(*pair, engine, None, bool(learn))
        shape = (input_size, hidden_size, num_layers, bias, bidirectional)
        super().__init__(*shape, *pair, learn, learn_per, device, dtype)
        self.batch_first, self.dropout, self.weight_dropout = batch_first, dropout, weight_dropout
        self.init, self.init_range, self.forget_bias = init, init_range, forget_bias
        self._wanted_engine = engine
        self._observer: Observer | None = None
        self._tracing: Callable[[int, int], Trace] | None = None
        self.reset_parameters()

    @property
    def engine(self) -> str:
        """The name of the engine in use; `auto` is resolved for the device that the parameters are on."""
        device_type = self.weight_ih_l0.device.type
        return resolve_engine(self.recurrence, self.dynamics, self._wanted_engine, device_type, bool(self.learn))

    def flatten_parameters(self) -> None:
        """Nothing: there for code written for torch.nn.LSTM, which packs its weights for cuDNN here."""

    def reset_parameters(self) -> None:
        """Draw all parameters anew, as `init` says."""
        self.draw(self.init, self.forget_bias, self.init_range)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # it would unroll the steps
    def forward(
        self, input: Tensor | PackedSequence, state: Given = None, times: Tensor | None = None
    ) -> tuple[Any, State]:
        """All layers over all steps.

        input: (T, B, D); (B, T, D) if batch_first; (T, D) without a batch; or a PackedSequence.
        state: what an earlier call returned, or None for zero; a plain `(h, c)` means zero momentum.
        times: time stamps of the steps for a recurrence that reads them (the phased LSTM): (T, B), (B, T) if
            batch_first, (T,) without a batch; padded beside a PackedSequence. None: they count on by one.
        Returns the last layer's outputs, laid out as the input with output_size * directions entries, and the
        state. Calls that carry the state on equal one long call, in the forward direction; the reverse direction
        starts at each sequence's own end.
        Raises ValueError for an input, a state or time stamps of the wrong shape, and an input of another type than
        the weights', but under autocast.
        """
        if isinstance(input, PackedSequence):
            data, batch_sizes, order, back = input
            self._check(data, "a PackedSequence with data (N, D)", data.dim() == 2)
            x_TBD, lengths_B = pad_packed_sequence(PackedSequence(data, batch_sizes))
            begin, times_TB = self._begin(x_TBD, state), self._stamps(times, x_TBD)
            if order is not None:
                begin, times_TB = begin[:, order], None if times_TB is None else times_TB[:, order]
            y_TBH, end = self._run(x_TBD, begin, times_TB, lengths_B)
            data = pack_padded_sequence(y_TBH, lengths_B).data
            return PackedSequence(data, batch_sizes, order, back), end if back is None else end[:, back]

        layout = "(B, T, D)" if self.batch_first else "(T, B, D)"
        self._check(input, f"{layout} or (T, D)", input.dim() in (2, 3))
        if input.dim() == 2:
            x_TBD = input.unsqueeze(1)
            y_TBH, end = self._run(x_TBD, self._begin(x_TBD, state, batched=False), self._stamps(times, x_TBD))
            return y_TBH.squeeze(1), end.map(lambda tensor: tensor.squeeze(1))
        x_TBD = input.transpose(0, 1) if self.batch_first else input
        y_TBH, end = self._run(x_TBD, self._begin(x_TBD, state), self._stamps(times, x_TBD))
        return y_TBH.transpose(0, 1) if self.batch_first else y_TBH, end

    @contextmanager
    def observe(self, callback: Observer) -> Iterator[None]:
        """Inside, forward runs the reference engine and reports each step.

        After each step it calls `callback(layer, direction, t, pre_BG, state)`: t counts in the direction's own
        order from 0; pre_BG enters the gates (`layer.recurrence.gates` gives their values); state holds the
        recurrence's tensors, (B, .) each, the very ones in the graph, so that gradients can be retained on h and
        c. The rows of a PackedSequence are in its sorted order: those past their sequence's end are missing from
        pre_BG, and in the state they mean nothing and get no gradient.
        """
        self._observer = callback
        try:
            yield
        finally:
            self._observer = None

    @contextmanager
    def trace(self, bounds: tuple[float, float] | None = None) -> Iterator[dict[tuple[int, int], Trace]]:
        """Inside, the backward pass of a call fills a `Trace` for every (layer, direction), at no extra pass.

        It has the norms of all dL/dh_t and dL/dc_t, and, where `bounds` are given, which fractions of each gate's
        values are below the first, < 0.5, and above the second, > 0.5. Raises ValueError unless `layer.engine` is
        `native`.
        """
        if self.engine != "native":
            raise ValueError(f"engine={self.engine} leaves no trace of its backward pass: use observe instead")
        traces: dict[tuple[int, int], Trace] = {}
        self._tracing = lambda layer, direction: traces.setdefault((layer, direction), Trace(bounds))
        try:
            yield traces
        finally:
            self._tracing = None

    def extra_repr(self) -> str:
        usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        usual |= {"weight_dropout": 0.0}
        changed = [f"{name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        parts = [f"{self.input_size}, {self.hidden_size}", *changed]
        return ", ".join([*parts, f"{self.recurrence}, {self.dynamics}, engine={self.engine}, init={self.init}"])

    def _check(self, data: Tensor, layout: str, right_rank: bool) -> None:
        if not right_rank or data.shape[-1] != self.input_size or not data.numel():
            raise ValueError(
                f"input of shape {tuple(data.shape)}: expected {layout}, not empty, with D = {self.input_size}"
            )
        number = self.weight_ih_l0.dtype
        fits = data.dtype == number or (
            number.is_complex and data.is_floating_point() and torch.promote_types(data.dtype, number) == number
        )
        if not fits and not torch.is_autocast_enabled(data.device.type):
            raise ValueError(f"input of {data.dtype}: the layer computes in {number}; write x.to({number.to_real()})")

    def _begin(self, x_TBD: Tensor, given: Given, batched: bool = True) -> State:
        """The state to start from, with zeros for what is not given; no dynamics means zero momentum."""
        stacks = len(self.stacked())
        number = self.recurrence.dtype(x_TBD.dtype)
        g_BG = x_TBD.new_zeros(x_TBD.shape[1], self.recurrence.gate_blocks * self.hidden_size, dtype=number)
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

    def _run(
        self, x_TBD: Tensor, begin: State, times_TB: Tensor | None = None, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Every layer in every direction: the last layer's outputs and the state at the end."""
        ends: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x_TBD = F.dropout(x_TBD, self.dropout, self.training)
            outputs = []
            for direction in range(self.directions):
                run = runner(self.engine)
                if self._observer is not None or times_TB is not None:
                    observer = None if self._observer is None else partial(self._observer, layer, direction)
                    stamps_TB = flipped(times_TB, lengths_B) if direction and times_TB is not None else times_TB
                    run = partial(Reference.run, observer=observer, times_TB=stamps_TB)
                elif self._tracing is not None:
                    run = partial(Native.run, trace=self._tracing(layer, direction))
                at, weights = begin.of_layer(len(ends)), self.weights(layer, direction)
                if self.weight_dropout and self.training:
                    weights = weights.drop_recurrent(self.weight_dropout)
                call = Unroll(
                    self.recurrence,
                    self.dynamics_at(layer, direction),
                    flipped(x_TBD, lengths_B) if direction else x_TBD,
                    weights,
                    at.recurrence,
                    at.dynamics or None,
                    lengths_B,
                )
                y_TBH, recurrence_state, dynamics_state = run(call)
                outputs.append(flipped(y_TBH, lengths_B) if direction else y_TBH)
                ends.append(State(recurrence_state, dynamics_state))
            x_TBD = torch.cat(outputs, 2) if self.bidirectional else outputs[0]
        return x_TBD, State.stack(ends)

    def _stamps(self, times: Tensor | None, x_TBD: Tensor) -> Tensor | None:
        """The time stamps as (T, B)."""
        if times is None:
            return None
        if "time" not in self.recurrence.states:
            raise ValueError(f"times: recurrence={self.recurrence.name} reads no time stamps; leave times out")
        times = times.to(torch.promote_types(times.dtype, torch.float32))
        times_TB = times.T if self.batch_first and times.dim() == 2 else times
        if times.dim() == 1 and x_TBD.shape[1] == 1:
            times_TB = times.unsqueeze(1)
        if times_TB.shape != x_TBD.shape[:2]:
            T, B = x_TBD.shape[:2]
            raise ValueError(f"times of shape {tuple(times.shape)}: expected the input's: T = {T}, B = {B}")
        return times_TB


def flipped(x_TBD: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Each sequence, (T, B, ..), in reverse order within its own length; padding stays where it is."""
    if lengths_B is None:
        return x_TBD.flip(0)
    t_T1 = torch.arange(len(x_TBD))[:, None]
    source_TB = torch.where(t_T1 < lengths_B, lengths_B - 1 - t_T1, t_T1)
    return x_TBD[source_TB.to(x_TBD.device), torch.arange(x_TBD.shape[1], device=x_TBD.device)]
