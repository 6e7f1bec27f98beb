"""The compiled code as one differentiable function of tensors."""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from momentum_exp.engines.compiled import Call, native_library

# The inputs that have a gradient, with its name; and the last states that are returned.
GRADIENTS = {
    "x_TBD": "dx",
    "w_ih": "dw_ih",
    "w_hh": "dw_hh",
    "b_G": "db_G",
    "b_modrelu": "db_modrelu",
    "h0": "dh0",
    "c0": "dc0",
    "v0": "dv0",
    "m0": "dm0",
    "y0": "dy0",
}
LAST = ("h", "c", "v", "m", "y")
GATES = ("i", "f", "o")


@dataclass
class Trace:
    """What the backward pass of a call of the kernel finds on its way, at no extra pass.

    bounds: a gate's value is low below the first and high above the second; 0.5 is neither. None: gates are left out.
    norms: `h` (T, B) holds the norm of each row's total dL/dh_t, and `c`, where there is one, that of dL/dc_t: 0 past
        a sequence's end. t counts in the direction's own order; rows of a PackedSequence are in its sorted order.
    low, high: by gate, the fraction of its values over all units and steps of all sequences; empty without gates.
    """

    bounds: tuple[float, float] | None = None
    norms: dict[str, Tensor] = field(default_factory=dict)
    low: dict[str, float] = field(default_factory=dict)
    high: dict[str, float] = field(default_factory=dict)


def call_kernel(
    options: Mapping[str, float],
    inputs: Mapping[str, Tensor | None],
    constants: Mapping[str, Tensor],
    lengths_B: Tensor | None,
    trace: Trace | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run native.cpp: the output y_TBH and the last states. `inputs` by the names of `GRADIENTS`.

    The backward pass fills a `trace`.
    """
    x_TBD = inputs["x_TBD"]
    assert x_TBD is not None
    steps, batch = x_TBD.shape[:2]
    lengths_B = torch.full((batch,), steps) if lengths_B is None else lengths_B
    alive_T = (lengths_B > torch.arange(steps)[:, None]).sum(1)
    options = {**options, "threads": min(torch.get_num_threads(), batch)}
    tensors = [inputs.get(name) for name in GRADIENTS]
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    y_TBH, *last = _Kernel.apply(options, keep, trace, {"alive_T": alive_T, **constants}, *tensors)
    return y_TBH, {name: state for name, state in zip(LAST, last, strict=True) if state is not None}


class _Kernel(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        options: Mapping[str, float],
        keep: bool,
        trace: Trace | None,
        constants: Mapping[str, Tensor],
        *inputs: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        arrays = dict(constants)
        arrays |= {name: t.detach() for name, t in zip(GRADIENTS, inputs, strict=True) if t is not None}
        if elsewhere := [name for name, tensor in arrays.items() if tensor.device.type != "cpu"]:
            raise RuntimeError(f"{', '.join(elsewhere)}: not on the CPU, where the layer is")
        arrays = {name: plain(tensor) for name, tensor in arrays.items()}
        x_TBD, w_hh = arrays["x_TBD"], arrays["w_hh"]
        (steps, batch, width), hidden = x_TBD.shape, w_hh.shape[1]
        ctx.options = {**options, "steps": steps, "batch": batch, "inputs": width, "units": hidden}
        # Steps past a sequence's end are not written.
        arrays["y_TBH"] = (x_TBD.new_zeros if ragged(arrays) else x_TBD.new_empty)(steps, batch, hidden)
        results = {"h": arrays["h0"]}
        if "c0" in arrays:
            results["c"] = arrays["c0"]
        if "y0" in arrays:
            results["y"] = arrays["y0"]
        if options.get("normalised"):
            results |= dict.fromkeys(("m", "v") if options["mu"] else ("m",), x_TBD.new_empty(batch, len(w_hh)))
        results = {name: torch.empty_like(like) for name, like in results.items()}
        arrays |= {f"{name}T": result for name, result in results.items()}
        if keep:
            sizes = (ctypes.c_int64 * 3)()
            entry("sizes", x_TBD)(call(ctx.options, arrays), sizes)
            kept = zip(("gates", "cells", "checkpoints"), sizes, strict=True)
            arrays |= {name: x_TBD.new_empty(size) for name, size in kept if size}
        if not entry("forward", x_TBD)(call(ctx.options, arrays)):
            raise MemoryError("the native engine has too little memory")
        if keep:
            # Last states are not needed again, but must not make a cycle with this node.
            arrays = {name: tensor for name, tensor in arrays.items() if name.removesuffix("T") not in results}
            ctx.names = list(arrays)
            ctx.save_for_backward(*arrays.values())
            ctx.set_materialize_grads(False)
            ctx.trace = trace
        return arrays["y_TBH"], *(results.get(name) for name in LAST)

    @staticmethod
    def backward(ctx: Any, dy_TBH: Tensor | None, *dlast: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError("engine=native has no second derivative; write engine=reference")
        arrays = {name: plain(tensor) for name, tensor in zip(ctx.names, ctx.saved_tensors, strict=True)}
        given = {"dy_TBH": dy_TBH, **{f"d{name}T": gradient for name, gradient in zip(LAST, dlast, strict=True)}}
        arrays |= {name: plain(gradient) for name, gradient in given.items() if gradient is not None}
        wanted = dict(zip(GRADIENTS, ctx.needs_input_grad[4:], strict=True))
        always = {"w_ih", "w_hh", "b_G", "b_modrelu"} & arrays.keys()
        gradients = {n: torch.empty_like(arrays[n]) for n in GRADIENTS if n in arrays and (wanted[n] or n in always)}
        if "x_TBD" in gradients and ragged(arrays):
            gradients["x_TBD"].zero_()
        arrays |= {GRADIENTS[name]: gradient for name, gradient in gradients.items()}
        if ctx.trace is not None:
            arrays |= room_for_trace(ctx.trace, arrays)
            low, high = ctx.trace.bounds or (0.0, 0.0)
            ctx.options |= {"low": low, "high": high}
        if not entry("backward", arrays["x_TBD"])(call(ctx.options, arrays)):
            raise MemoryError("the native engine has too little memory")
        if ctx.trace is not None:
            fill_trace(ctx.trace, arrays)
        return None, None, None, None, *(gradients.get(name) if wanted[name] else None for name in GRADIENTS)


def room_for_trace(trace: Trace, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Where the kernel puts what `fill_trace` reads."""
    y_TBH, gated = arrays["y_TBH"], "gates" in arrays
    room = {f"norms_{name}_TB": y_TBH.new_empty(y_TBH.shape[:2]) for name in ("hc" if gated else "h")}
    if gated and trace.bounds is not None:
        room["saturated"] = torch.zeros(len(GATES), 2, dtype=torch.int64)
    return room


def fill_trace(trace: Trace, arrays: Mapping[str, Tensor]) -> None:
    """Put into `trace` what the kernel has found."""
    trace.norms = {name: arrays[f"norms_{name}_TB"].sqrt_() for name in "hc" if f"norms_{name}_TB" in arrays}
    if "saturated" in arrays:
        values = int(arrays["alive_T"].sum()) * arrays["y_TBH"].shape[2]
        low, high = (arrays["saturated"].T / values).tolist()
        trace.low, trace.high = dict(zip(GATES, low, strict=True)), dict(zip(GATES, high, strict=True))


def plain(tensor: Tensor) -> Tensor:
    """The same numbers as they lie in memory: contiguous, and none of them negated by a flag alone."""
    return tensor.resolve_neg().contiguous()


def ragged(arrays: Mapping[str, Tensor]) -> bool:
    """Whether some sequence ends before the last step."""
    return int(arrays["alive_T"][-1]) < arrays["x_TBD"].shape[1]


def entry(name: str, like: Tensor) -> Any:
    """The compiled function for numbers of like's type."""
    return getattr(native_library(), f"{name}_{'double' if like.dtype == torch.float64 else 'float'}")


def call(options: Mapping[str, float], arrays: Mapping[str, Tensor]) -> Any:
    """The arguments as a pointer; the tensors must live until the call ends."""
    return ctypes.byref(Call(**options, **{name: tensor.data_ptr() for name, tensor in arrays.items()}))
