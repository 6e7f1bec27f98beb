"""Every recurrence with a constrained weight, how far that is from orthogonal, and training that may move it."""

import torch

import momentum_exp as mx
from momentum_exp.cells.options import constrained, recurrence_names

NAMES = [name for name in recurrence_names() if constrained(name)]
VARIANTS = [
    ("dtriv", {"rebase": 1}),
    ("dtriv", {"rebase": 1, "project": 2}),
    ("dtriv", {"rebase": 7, "project": 2, "skew_init": "henaff"}),
    ("exprnn", {"skew_init": "henaff"}),
    ("scornn", {"negative": 5}),
    ("ornn", {"reflections": 5}),
    ("soft_orthogonal", {"margin": 0.0}),
]
CASES = [*((name, {}) for name in NAMES), *VARIANTS]
T, B, D = 4, 3, 2


def make(name, hidden_size=12, dtype=torch.float32, **options):
    return mx.Recurrent(D, hidden_size, recurrence=name, init="released", dtype=dtype, **options)


def weight(layer):
    with torch.no_grad():
        return layer.weight_hh_l0()


def deviation(w):
    """max |W W^H - 1|."""
    return (w @ w.mH - torch.eye(len(w), dtype=w.dtype)).abs().max().item()


class Training:
    """RMSprop on a regression of random outputs on random inputs."""

    def __init__(self, layer, lr=0.003):
        self.layer, self.optimizer = layer, torch.optim.RMSprop(layer.parameters(), lr)
        self.x_TBD, self.target = torch.randn(T, B, D), torch.randn(T, B, layer.output_size)

    def steps(self, number):
        for _ in range(number):
            self.optimizer.zero_grad()
            (self.layer(self.x_TBD)[0] - self.target).square().sum().backward()
            self.optimizer.step()
            mx.after_step(self.layer)
