"""The drive against closed forms; ranges of the options; precision."""

import math

import pytest
import torch

from momentum_exp.cells.dynamics.linear import Identity, Momentum, Nesterov
from momentum_exp.cells.dynamics.normalised import Adam, RMSProp

ALL = [Identity(), Momentum(), Nesterov(), Nesterov(restart=3), RMSProp(), Adam(), Adam(eps="paper")]
T, B, G = 9, 2, 5


def pre_activation():
    torch.manual_seed(0)
    return torch.randn(T, B, G, dtype=torch.float64)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_identity_is_the_very_tensor():
    g_TBG = pre_activation()
    u_TBG, state = Identity().unroll(g_TBG)
    assert u_TBG is g_TBG
    assert state == {}


@pytest.mark.parametrize("mu", [0.0, 0.3, 0.99])
def test_momentum_is_a_geometric_sum(mu):
    g_TBG = pre_activation()
    u_TBG, state = Momentum(mu=mu, s=0.7).unroll(g_TBG)
    for t in range(T):
        close(u_TBG[t], sum(0.7 * mu ** (t - i) * g_TBG[i] for i in range(t + 1)))
    assert torch.equal(state["v"], u_TBG[-1])


@pytest.mark.parametrize("restart", [0, 1, 2, 4, 100])
def test_nesterov_weighs_by_the_products_of_its_coefficients(restart):
    g_TBG = pre_activation()
    ks = [t % restart + 1 if restart else t + 1 for t in range(T)]
    mus = [(k - 1) / (k + 2) for k in ks]
    u_TBG, state = Nesterov(s=0.7, restart=restart).unroll(g_TBG)
    for t in range(T):
        close(u_TBG[t], sum(0.7 * math.prod(mus[i + 1 : t + 1]) * g_TBG[i] for i in range(t + 1)))
    assert state["k"].tolist() == [ks[-1]] * B


@pytest.mark.parametrize("eps", ["released", "paper"])
@pytest.mark.parametrize("mu", [0.0, 0.6])
def test_adam_divides_the_momentum_by_the_root_mean_square(mu, eps):
    g_TBG = pre_activation()
    u_TBG, state = Adam(mu=mu, s=0.7, beta=0.8, eps=eps).unroll(g_TBG)
    v_TBG, _ = Momentum(mu=mu, s=0.7).unroll(g_TBG)
    for t in range(T):
        m_BG = sum(0.2 * 0.8 ** (t - i) * g_TBG[i] ** 2 for i in range(t + 1))
        root = (m_BG + 1e-16).sqrt() if eps == "released" else m_BG.sqrt() + 1e-8
        close(u_TBG[t], v_TBG[t] / root)
    close(state["m"], m_BG)


@pytest.mark.parametrize("eps", ["released", "paper"])
def test_rmsprop_is_adam_without_momentum(eps):
    g_TBG = pre_activation()
    u_TBG, state = RMSProp(s=0.7, beta=0.8, eps=eps).unroll(g_TBG)
    same_TBG, same = Adam(mu=0.0, s=0.7, beta=0.8, eps=eps).unroll(g_TBG)
    assert torch.equal(u_TBG, same_TBG)
    assert torch.equal(state["m"], same["m"])


@pytest.mark.parametrize("eps", ["released", "paper"])
def test_slope_at_zero_is_finite_and_large(eps):
    """At g = 0, m = 0: du/dg = s / 1e-8, both where eps is inside the root (1e-16) and outside (1e-8)."""
    for dtype in (torch.float32, torch.float64):
        g_TBG = torch.zeros(3, 1, 2, dtype=dtype, requires_grad=True)
        u_TBG, _ = RMSProp(s=0.6, eps=eps).unroll(g_TBG)
        u_TBG.sum().backward()
        torch.testing.assert_close(g_TBG.grad, torch.full_like(g_TBG, 0.6e8), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dynamics", ALL, ids=str)
def test_two_calls_equal_one(dynamics):
    g_TBG = pre_activation()
    whole_TBG, end = dynamics.unroll(g_TBG)
    first_TBG, state = dynamics.unroll(g_TBG[:4])
    second_TBG, last = dynamics.unroll(g_TBG[4:], state)
    assert torch.equal(torch.cat([first_TBG, second_TBG]), whole_TBG)
    assert all(torch.equal(last[name], end[name]) for name in end)


@pytest.mark.parametrize("dynamics", ALL[1:], ids=str)
def test_states_stop_at_each_sequence_s_end(dynamics):
    g_TBG = pre_activation()
    lengths = torch.tensor([T, 4])
    _, end = dynamics.unroll(g_TBG, lengths_B=lengths)
    _, short = dynamics.unroll(g_TBG[:4])
    _, full = dynamics.unroll(g_TBG)
    for name in end:
        assert torch.equal(end[name][0], full[name][0])
        assert torch.equal(end[name][1], short[name][1])


@pytest.mark.parametrize("dynamics", ALL[1:], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_only_at_the_ends(dynamics, dtype):
    """Half precision in and out, float32 between, also under autocast."""
    g_TBG = pre_activation().to(dtype)
    exact_TBG, exact = dynamics.unroll(g_TBG.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        u_TBG, state = dynamics.unroll(g_TBG)
    assert u_TBG.dtype == dtype
    assert torch.equal(u_TBG, exact_TBG.to(dtype))
    for name, tensor in state.items():
        assert torch.equal(tensor, exact[name])
        assert tensor.dtype == (torch.int64 if name == "k" else torch.float32)


@pytest.mark.parametrize("dynamics", ALL, ids=str)
def test_gradcheck(dynamics):
    g_TBG = pre_activation()[:4]
    g_TBG = (g_TBG + 0.5 * g_TBG.sign()).requires_grad_()  # away from 0, where the normalised drive jumps
    _, warm = dynamics.unroll(pre_activation())
    leaves = [tensor.requires_grad_() for name, tensor in warm.items() if name != "k"]

    def function(g_TBG, *tensors):
        names = [name for name in dynamics.states if name != "k"]
        u_TBG, state = dynamics.unroll(g_TBG, {**warm, **dict(zip(names, tensors, strict=True))})
        return u_TBG, *(state[name] for name in names)

    assert torch.autograd.gradcheck(function, (g_TBG, *leaves))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Momentum, {"mu": 1.0}, "mu=1.0 is out of range: 0 <= mu < 1"),
        (Momentum, {"mu": -0.1}, "0 <= mu < 1"),
        (Momentum, {"mu": math.nan}, "0 <= mu < 1"),
        (Momentum, {"s": 0.0}, "s=0.0 is out of range: s > 0"),
        (Momentum, {"s": math.inf}, "s > 0"),
        (Nesterov, {"s": -1.0}, "s > 0"),
        (Nesterov, {"restart": -1}, "restart=-1 is out of range"),
        (Nesterov, {"restart": 2.5}, "integer"),
        (RMSProp, {"beta": 1.0}, "0 <= beta < 1"),
        (RMSProp, {"s": 0.0}, "s > 0"),
        (RMSProp, {"eps": "1e-8"}, "write one of: released, paper"),
        (Adam, {"mu": 1.5}, "0 <= mu < 1"),
        (Adam, {"s": 0.0}, "s > 0"),
        (Adam, {"beta": -0.5}, "0 <= beta < 1"),
        (Adam, {"eps": ""}, "write one of: released, paper"),
    ],
)
def test_out_of_range(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
