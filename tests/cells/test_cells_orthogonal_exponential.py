"""Skew-symmetric matrices: their exponential with its derivative, and the entries that they start with."""

import math

import pytest
import torch
from orthogonal_layers import deviation

from momentum_exp.cells.constraints.skew import skew, skew_entries
from momentum_exp.cells.constraints.skew_exponential import skew_exponential


def skews():
    """Skew-symmetric matrices of many kinds."""
    generator = torch.Generator().manual_seed(0)
    for size in (1, 2, 5, 8):
        entries = torch.randn(size * (size - 1) // 2, dtype=torch.float64, generator=generator)
        yield from (
            (f"{kind}, {size}", entries * scale) for kind, scale in (("zero", 0), ("small", 1e-9), ("usual", 1))
        )
        yield f"large, {size}", 20 * entries
    equal = torch.zeros(8, 8, dtype=torch.float64)
    equal[range(0, 6, 2), range(1, 7, 2)] = 0.7
    yield "equal eigenvalues", equal[tuple(torch.triu_indices(8, 8, 1))]
    yield "half turns", equal[tuple(torch.triu_indices(8, 8, 1))] * (math.pi / 0.7)


SKEWS = dict(skews())


def size_of(entries):
    return (1 + math.isqrt(1 + 8 * len(entries))) // 2


@pytest.mark.parametrize("kind", SKEWS)
def test_the_exponential_is_torch_s(kind):
    entries = SKEWS[kind].clone().requires_grad_()
    size = size_of(entries)
    cotangent = torch.randn(size, size, dtype=torch.float64)
    results = []
    for function in (skew_exponential, torch.matrix_exp):
        rotation = function(skew(entries, size))
        results.append([rotation, *torch.autograd.grad((rotation * cotangent).sum(), entries)])
    for ours, torchs in zip(*results, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-11, atol=1e-11)
    assert deviation(results[0][0].detach()) < 1e-14


@pytest.mark.parametrize("kind", ["zero, 5", "usual, 5", "equal eigenvalues", "half turns"])
def test_the_derivative_of_the_exponential(kind):
    entries = SKEWS[kind].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: skew_exponential(skew(a, size_of(entries))), entries)


def test_the_exponential_has_no_second_derivative():
    entries = SKEWS["usual, 5"].clone().requires_grad_()
    (first,) = torch.autograd.grad(skew_exponential(skew(entries, 5)).exp().sum(), entries, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize(("init", "low", "high"), [("cayley", -1, 0), ("henaff", -math.pi, math.pi)])
@pytest.mark.parametrize("size", [1000, 1001])
def test_skew_entries_start_in_blocks(init, low, high, size):
    upper = torch.zeros(size, size)
    upper[tuple(torch.triu_indices(size, size, 1))] = skew_entries(size, init)
    blocks = upper[range(0, size - 1, 2), range(1, size, 2)]
    assert upper.count_nonzero() == len(blocks) == size // 2
    assert low < blocks.min() < low + 0.05 * (high - low)
    assert high - 0.05 * (high - low) < blocks.max() < high
    if init == "cayley":  # the tangent of half an angle that is uniform up to a right angle
        angles = 2 * torch.atan(-blocks)
        assert angles.mean().item() == pytest.approx(math.pi / 4, abs=0.1)
