"""Calling torch's fused kernels of plain cells (cuDNN on a GPU, oneDNN or ATen on a CPU)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from momentum_exp.cells.weights import Weights


def run_kernel(
    kernel: Callable[..., Any], x_TBD: Tensor, hx: Any, weights: Weights, lengths_B: Tensor | None
) -> tuple[Tensor, ...]:
    """`kernel` (torch.lstm, torch.gru, torch.rnn_tanh, ..) over all steps of one layer in one direction.

    hx: what the kernel takes as its state, (1, B, H) each. `b_ih` None means zero. Returns y_TBH and the last
    states, (1, B, H) each.
    """
    w_ih, w_hh, b_ih, b_hh, _ = weights
    flat = [w_ih, w_hh]
    if b_hh is not None:
        flat += [torch.zeros_like(b_hh) if b_ih is None else b_ih, b_hh]
    # Kernels keep what backward needs only in training mode; here that means whenever gradients are on.
    layout = (flat, b_hh is not None, 1, 0.0, torch.is_grad_enabled(), False)
    if lengths_B is None:
        result: tuple[Tensor, ...] = kernel(x_TBD, hx, *layout, False)
        return result
    packed = pack_padded_sequence(x_TBD, lengths_B)
    data, *last = kernel(packed.data, packed.batch_sizes, hx, *layout)
    y_TBH, _ = pad_packed_sequence(PackedSequence(data, packed.batch_sizes))
    return y_TBH, *last
