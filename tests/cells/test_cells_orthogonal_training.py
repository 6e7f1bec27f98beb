"""Training keeps a constrained weight what it is: after many steps, in every re-basing, from a state_dict on."""

import copy

import pytest
import torch
from orthogonal_layers import CASES, NAMES, D, Training, deviation, make, weight
from torch import nn

import momentum_exp as mx


@pytest.mark.parametrize(
    ("name", "options", "hidden_size"), [*((*case, 12) for case in CASES), *((name, {}, 64) for name in NAMES)], ids=str
)
def test_100_steps_keep_the_constraint(name, options, hidden_size):
    layer = make(name, hidden_size, **options)
    before = weight(layer)
    training = Training(layer)
    margin = layer.recurrence.margin if name == "soft_orthogonal" else 0.0
    for step in range(100):
        training.steps(1)
        if step in (0, 50, 98, 99):  # 98 is before, 99 after a projection
            w = weight(layer)
            if margin:
                assert (torch.linalg.svdvals(w) - 1).abs().max() < margin + 5e-5
            else:
                assert deviation(w) < 5e-5
    assert (w - before).abs().max() > 0.01
    assert not margin or (torch.linalg.svdvals(w) - 1).abs().max() > 0.1 * margin


@pytest.mark.parametrize(("name", "rebase"), [("dtriv", {"rebase": 1}), ("full_urnn", {}), ("soft_orthogonal", {})])
def test_rounding_alone_does_not_grow_between_projections(name, rebase):
    """99 re-bases, with nothing to project yet, stay well within the bound."""
    layer = make(name, 64, **rebase, **({"margin": 0.0} if name == "soft_orthogonal" else {}))
    Training(layer).steps(99)
    assert deviation(weight(layer)) < 2.5e-5


@pytest.mark.parametrize("rebase", [1, 7])
def test_re_basing_leaves_the_weight_as_it_is(rebase):
    """And happens after every K-th step, when A returns to zero; the base is projected every second time."""
    layer = make("dtriv", dtype=torch.float64, rebase=rebase, project=2)
    constraint = layer.weight_hh_l0
    for step in range(1, 2 * rebase + 1):
        nn.init.normal_(constraint.A, std=0.1)
        before, base = weight(layer), constraint.base.clone()
        mx.after_step(layer)
        torch.testing.assert_close(weight(layer), before, rtol=0, atol=1e-13)
        re_based = step % rebase == 0
        assert constraint.A.any() != re_based
        assert torch.equal(constraint.base, base) != re_based

    for projected in (False, True):
        constraint.base += 1e-5 * torch.randn(12, 12, dtype=torch.float64)
        for _ in range(rebase):
            mx.after_step(layer)
        assert (deviation(constraint.base) < 1e-14) == projected


def test_without_re_basing_the_base_never_moves():
    layer = make("dtriv", rebase=0)
    base = layer.weight_hh_l0.base.clone()
    Training(layer).steps(10)
    assert torch.equal(layer.weight_hh_l0.base, base)
    assert layer.weight_hh_l0.A.any()


def test_soft_orthogonal_re_bases_both_sides_at_every_step():
    constraint = make("soft_orthogonal", dtype=torch.float64).weight_hh_l0
    for side in (constraint.left, constraint.right):
        nn.init.normal_(side.A)
    before = constraint()
    mx.after_step(constraint)
    torch.testing.assert_close(constraint(), before)
    assert not constraint.left.A.any()
    assert not constraint.right.A.any()


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_state_dict_carries_all_that_training_goes_on_from(name, options):
    """Outputs are equal bit for bit, and so is what further training makes of them: re-basing keeps its step."""
    first, second = (Training(make(name, **options)) for _ in range(2))
    second.x_TBD, second.target = first.x_TBD, first.target
    first.steps(5)
    assert not torch.equal(weight(first.layer), weight(second.layer))
    second.layer.load_state_dict(first.layer.state_dict())
    second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    assert torch.equal(first.layer(first.x_TBD)[0], second.layer(first.x_TBD)[0])
    for training in (first, second):
        training.steps(11)
    for a, b in zip(first.layer.state_dict().values(), second.layer.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_torch_s_own_parametrization_of_a_plain_layer():
    layer = mx.Recurrent(D, 6, recurrence="rnn", dynamics="momentum")
    nn.utils.parametrizations.orthogonal(layer, "weight_hh_l0")
    training = Training(layer, lr=0.01)
    before = layer.weight_hh_l0.detach().clone()
    training.steps(20)
    w = layer.weight_hh_l0.detach()
    assert (w - before).abs().max() > 0.01
    assert deviation(w) < 5e-5
    plain = mx.Recurrent(D, 6, recurrence="rnn", dynamics="momentum")
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    plain.load_state_dict({name: getattr(layer, name) for name in names})
    assert torch.equal(layer(training.x_TBD)[0], plain(training.x_TBD)[0])
