"""All that a layer computes in one forward and backward pass, to compare engines by."""

import torch
from torch.nn.utils.rnn import PackedSequence


def everything(layer, x, state=None):
    """Output, last state and all gradients of a loss that depends on both, by name."""
    data = (x.data if isinstance(x, PackedSequence) else x).detach().requires_grad_()
    x = PackedSequence(data, *x[1:]) if isinstance(x, PackedSequence) else data
    leaves = {**dict(layer.named_parameters()), "x": data}
    if state is not None:
        state = state.detach().map(lambda t: t.requires_grad_() if t.is_floating_point() else t)
        leaves |= {n: t for n, t in {**state.recurrence, **state.dynamics}.items() if t.is_floating_point()}
    y, end = layer(x, state)
    y = y.data if isinstance(y, PackedSequence) else y
    ends = {**end.recurrence, **end.dynamics}
    loss = (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum()
    loss = loss + sum((t.sin() * (i + 1)).sum() for i, t in enumerate(ends.values()) if t.is_floating_point())
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return {"y": y, **{f"last {n}": t for n, t in ends.items()}, **dict(zip(leaves, gradients, strict=True))}
