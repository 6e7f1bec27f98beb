"""NT-ASGD: its trigger, its averages, evaluation at them; and the decay of the learning rate."""

from pathlib import Path

import pytest
import torch
from torch import nn

from momentum_exp.cells import Recurrent, parameter_groups
from momentum_exp.config import Config, DataConfig, OptimizerConfig
from momentum_exp.data import load_dataset
from momentum_exp.errors import UserError
from momentum_exp.training.averaging import Averaging
from momentum_exp.training.optimizers import Optimizers, build_optimizer, check_validation, decay_factor


def triggered_after(losses: list[float], nonmono: int) -> int | None:
    """The number of the epoch, from 1, after which averaging starts."""
    averaging = Averaging([], nonmono)
    for epoch, loss in enumerate(losses, start=1):
        averaging.after_epoch(loss)
        if averaging.steps is not None:
            return epoch
    return None


@pytest.mark.parametrize(
    ("losses", "nonmono", "expected"),
    [
        ([9, 8, 7, 6, 5, 4, 3, 2, 1], 5, None),
        ([5, 6, 6, 6, 6, 6, 6], 5, 7),  # in epoch 7 the best of epoch 1 alone counts, and 6 > 5
        ([5, 6, 6, 6, 6, 6], 5, None),  # in epoch 6 none counts yet
        ([5, 4, 4, 4, 4, 4, 5], 5, None),  # 5 is not worse than 5
        ([5, 4, 4, 4, 4, 4, 5, 4.5], 5, 8),  # now the best of epochs 1 and 2 counts
        ([5, 1, 4, 4, 4, 4, 4.5, 4.5], 5, 8),
        ([3, 2, 2.5], 1, None),  # 2 is the newest and does not count
        ([3, 2, 2.5, 2.4], 1, 4),
        ([3, 2, 2.5, 3.5], 2, 4),
    ],
)
def test_the_trigger(losses: list[float], nonmono: int, expected: int | None) -> None:
    assert triggered_after(losses, nonmono) == expected
    released = next(
        (
            epoch
            for epoch, loss in enumerate(losses, start=1)
            if len(losses[: epoch - 1]) > nonmono and loss > min(losses[: epoch - 1][:-nonmono])
        ),
        None,
    )
    assert released == expected


def stepped(optimizer: Optimizers, model: nn.Module, number: int) -> list[torch.Tensor]:
    """The weights after each of `number` steps with gradients of their own."""
    weights = []
    for _ in range(number):
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    return weights


def ntasgd(model: nn.Module) -> Optimizers:
    return build_optimizer(model, OptimizerConfig(name="ntasgd", lr=0.1, weight_decay=0.01, nonmono=1))


def trigger(optimizer: Optimizers) -> None:
    for loss in (1.0, 2.0, 3.0):
        optimizer.after_epoch(loss)


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_the_averages_are_the_mean_of_the_weights_after_the_first_step(steps: int) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = ntasgd(model)
    *_, last = stepped(optimizer, model, 4)
    with optimizer.averaged():
        assert torch.equal(flat(model), last)
    assert optimizer.facts() == {"averaged_steps": 0}
    trigger(optimizer)
    weights = stepped(optimizer, model, steps)
    expected = torch.stack(weights[1:] or weights).mean(0)
    before = flat(model)
    with optimizer.averaged():
        torch.testing.assert_close(flat(model), expected)
        assert (steps > 2) == (not torch.equal(flat(model), before))
    assert torch.equal(flat(model), before), "training goes on from its own weights"
    assert torch.equal(before, weights[-1])
    assert optimizer.facts() == {"averaged_steps": steps}


def test_it_is_gradient_descent_and_then_torch_s_asgd() -> None:
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    optimizer = ntasgd(ours)
    reference: torch.optim.Optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, weight_decay=0.01)
    for step in range(12):
        if step == 4:
            trigger(optimizer)
            reference = torch.optim.ASGD(theirs.parameters(), lr=0.1, t0=0, lambd=0.0, weight_decay=0.01)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        optimizer.step()
        reference.step()
        torch.testing.assert_close(flat(ours), flat(theirs))
    means = torch.cat([reference.state[p]["ax"].flatten() for p in theirs.parameters()])
    with optimizer.averaged():
        torch.testing.assert_close(flat(ours), means)


def test_an_error_in_evaluation_gives_the_weights_back() -> None:
    model = nn.Linear(3, 2)
    optimizer = ntasgd(model)
    trigger(optimizer)
    stepped(optimizer, model, 5)
    before = flat(model)
    with pytest.raises(KeyboardInterrupt), optimizer.averaged():
        raise KeyboardInterrupt
    assert torch.equal(flat(model), before)


def test_it_averages_once_triggered_whatever_comes() -> None:
    model = nn.Linear(1, 1)
    optimizer = ntasgd(model)
    trigger(optimizer)
    stepped(optimizer, model, 3)
    for loss in (0.1, 9.0, 0.1):
        optimizer.after_epoch(loss)
    assert optimizer.facts() == {"averaged_steps": 3}
    optimizer.after_epoch(None)


@pytest.mark.parametrize("before_the_trigger", [True, False])
def test_its_state_goes_on_bit_for_bit(tmp_path: Path, before_the_trigger: bool) -> None:
    torch.manual_seed(0)
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    one, two = ntasgd(model), ntasgd(other)
    one.after_epoch(1.0)
    if not before_the_trigger:
        one.after_epoch(1.0)
        one.after_epoch(2.0)
    stepped(one, model, 4)
    torch.save({"model": model.state_dict(), "optimizer": one.state_dict()}, tmp_path / "saved.pt")
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    other.load_state_dict(saved["model"])
    two.load_state_dict(saved["optimizer"])
    ends = []
    for optimizer, network in ((one, model), (two, other)):
        torch.manual_seed(1)
        for loss in (3.0, 4.0):
            optimizer.after_epoch(loss)
        stepped(optimizer, network, 3)
        with optimizer.averaged():
            ends.append((flat(network), optimizer.facts()))
    assert ends[0][1] == ends[1][1] == {"averaged_steps": 3 if before_the_trigger else 7}
    assert torch.equal(ends[0][0], ends[1][0])


def test_constrained_weights_are_not_averaged() -> None:
    torch.manual_seed(0)
    layer = Recurrent(2, 4, recurrence="dtriv", skew_init="henaff", rebase=2)
    optimizer = ntasgd(layer)
    trigger(optimizer)
    stepped(optimizer, layer, 5)
    groups = parameter_groups(layer)
    before = {group: [p.detach().clone() for p in parameters] for group, parameters in groups.items()}
    with optimizer.averaged():
        assert all(torch.equal(p, q) for p, q in zip(groups["orthogonal"], before["orthogonal"], strict=True))
        assert not any(torch.equal(p, q) for p, q in zip(groups["free"], before["free"], strict=True))


def test_without_averaging_nothing_happens() -> None:
    model = nn.Linear(3, 2)
    optimizer = build_optimizer(model, OptimizerConfig(name="sgd", lr=0.1))
    trigger(optimizer)
    stepped(optimizer, model, 3)
    before = flat(model)
    with optimizer.averaged():
        assert torch.equal(flat(model), before)
    assert optimizer.facts() == {}
    assert set(optimizer.state_dict()) == {"0"}


@pytest.mark.parametrize("validation", [0, 10])
def test_it_needs_something_held_out(tmp_path: Path, validation: int) -> None:
    data = DataConfig(name="digits", validation=validation)
    config = Config(data=data, optimizer=OptimizerConfig(name="ntasgd"))
    dataset = load_dataset(data, tmp_path, 0)
    if validation:
        check_validation(config, dataset)
    else:
        with pytest.raises(UserError, match=r"optimizer\.name=ntasgd .* write for example data\.validation=5000"):
            check_validation(config, dataset)


def test_the_learning_rate_decays_as_in_zaremba_et_al() -> None:
    """Epochs 1 to 4 at the full rate, then half of it each time."""
    config = OptimizerConfig(name="sgd", decay=0.5, decay_after=4)
    assert [decay_factor(config, epoch) for epoch in range(7)] == [1, 1, 1, 1, 1 / 2, 1 / 4, 1 / 8]
    assert [decay_factor(OptimizerConfig(decay=0.1), epoch) for epoch in range(3)] == pytest.approx([1, 0.1, 0.01])
    assert {decay_factor(OptimizerConfig(), epoch) for epoch in range(9)} == {1.0}
