"""The filter against the dynamics' own steps, with first and second derivatives."""

import pytest
import torch

from momentum_exp.cells.dynamics.linear import Identity, Momentum, Nesterov
from momentum_exp.engines.filter import CHUNK, by_product, by_steps, linear_filter

T, B, K = 8, 3, 2


@pytest.mark.parametrize("dynamics", [Momentum(), Momentum(mu=0.0), Nesterov(), Nesterov(restart=3)], ids=str)
def test_equals_the_steps(dynamics):
    """Also where a carried state has another k in each row."""
    torch.manual_seed(0)
    z_TBK, v_BK = torch.randn(T, B, K, dtype=torch.float64), torch.randn(B, K, dtype=torch.float64)
    state = {"v": v_BK, "k": torch.tensor([0, 2, 3])} if "k" in dynamics.states else {"v": v_BK}
    u_TBK, last = dynamics.unroll(z_TBK, state)
    mu_TB1, counts = dynamics.coefficients(state, T, v_BK)
    torch.testing.assert_close(linear_filter(z_TBK, v_BK, mu_TB1, dynamics.s), u_TBK, rtol=1e-14, atol=1e-14)
    assert all(torch.equal(count_TB[-1], last[name]) for name, count_TB in counts.items())


def test_identity_has_no_memory():
    z_TBK = torch.randn(T, B, K)
    mu_TB1, _ = Identity().coefficients({}, T, z_TBK)
    assert torch.equal(linear_filter(z_TBK, torch.ones(B, K), mu_TB1, 1.0), z_TBK)


def test_reverse_runs_from_the_end():
    torch.manual_seed(0)
    z_TBK, v_BK, mu_TB1 = torch.randn(T, B, K), torch.randn(B, K), torch.rand(T, 1, 1)
    forward = linear_filter(z_TBK.flip(0), v_BK, mu_TB1.flip(0), 0.7)
    assert torch.equal(linear_filter(z_TBK, v_BK, mu_TB1, 0.7, reverse=True), forward.flip(0))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("rows", [1, B])
def test_derivatives(rows, reverse):
    torch.manual_seed(0)
    z_TBK = torch.randn(4, B, K, dtype=torch.float64, requires_grad=True)
    v_BK, mu_TB1 = torch.randn(B, K, dtype=torch.float64), torch.rand(4, rows, 1, dtype=torch.float64)

    def function(z_TBK):
        return linear_filter(z_TBK, v_BK, mu_TB1, 0.7, reverse).sin()

    assert torch.autograd.gradcheck(function, z_TBK)
    assert torch.autograd.gradgradcheck(function, z_TBK)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [1, CHUNK, 2 * CHUNK + 1])
def test_the_product_for_gpus_equals_the_steps(steps, reverse):
    torch.manual_seed(0)
    z_TBK, v_BK = torch.randn(steps, B, K, dtype=torch.float64), torch.randn(B, K, dtype=torch.float64)
    mu_TB1, _ = Nesterov(restart=5).coefficients({"k": torch.zeros(1, dtype=torch.int64)}, steps, v_BK)
    both = [how(z_TBK, v_BK, mu_TB1, 0.7, reverse) for how in (by_steps, by_product)]
    torch.testing.assert_close(*both, rtol=1e-12, atol=1e-12)
