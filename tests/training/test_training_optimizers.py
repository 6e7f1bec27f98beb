"""Each parameter gets the algorithm and the options that are meant for it."""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import momentum_exp as mx
from momentum_exp.cells.constraints.base import Constraint
from momentum_exp.config import OptimizerConfig
from momentum_exp.training.optimizers import OPTIMIZERS, Optimizers, build_optimizer, optimizer_options

EXPECTED: dict[str, dict[str, Any]] = {
    "rmsprop": {"lr": 0.5, "alpha": 0.7, "momentum": 0.3, "eps": 0.1, "weight_decay": 0.2},
    "adam": {"lr": 0.5, "betas": (0.6, 0.8), "eps": 0.1, "weight_decay": 0.2},
    "adamw": {"lr": 0.5, "betas": (0.6, 0.8), "eps": 0.1, "weight_decay": 0.2},
    "sgd": {"lr": 0.5, "momentum": 0.3, "nesterov": True, "weight_decay": 0.2},
    "ntasgd": {"lr": 0.5, "momentum": 0.3, "nesterov": True, "weight_decay": 0.2},
}
EVERY = {"lr": 0.5, "alpha": 0.7, "momentum": 0.3, "nesterov": True, "beta1": 0.6, "beta2": 0.8, "eps": 0.1}


def model_of_all_kinds() -> nn.Module:
    """A constrained weight, learned values of the dynamics and free parameters."""
    torch.manual_seed(0)
    return nn.ModuleDict({"cell": mx.MomentumDTRIV(2, 4, learn=["mu", "s"]), "readout": nn.Linear(4, 3)})


def options_of(optimizers: Optimizers) -> dict[nn.Parameter, dict[str, Any]]:
    """Each parameter's options, the algorithm's class among them."""
    return {
        parameter: {"algorithm": type(part), **{key: value for key, value in group.items() if key != "params"}}
        for part in optimizers.parts
        for group in part.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_gets_exactly_its_options(name: str) -> None:
    model = nn.Linear(2, 1)
    (optimizer,) = build_optimizer(model, OptimizerConfig(name=name, weight_decay=0.2, **EVERY)).parts
    assert type(optimizer) is OPTIMIZERS[name]
    expected = OPTIMIZERS[name](model.parameters(), **EXPECTED[name])
    assert optimizer.defaults == expected.defaults
    assert [group["params"] for group in optimizer.param_groups] == [list(model.parameters())]
    read = {"beta1", "beta2"} if "betas" in EXPECTED[name] else set()
    ours = {"name", "decay", "decay_after", "lr_orthogonal", "orthogonal"}
    read |= {"nonmono"} if name == "ntasgd" else set()
    assert set(optimizer_options(name)) == ours | read | set(EXPECTED[name]) - {"betas"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_null_keys_take_torch_s_defaults(name: str) -> None:
    model = nn.Linear(2, 1)
    (optimizer,) = build_optimizer(model, OptimizerConfig(name=name, lr=0.1)).parts
    given_by_us = {"lr": 0.1, "weight_decay": 0.0}
    assert optimizer.defaults == OPTIMIZERS[name](model.parameters(), **given_by_us).defaults
    (half,) = build_optimizer(model, OptimizerConfig(name=name, lr=0.1, beta1=0.5)).parts
    if "betas" in inspect.signature(OPTIMIZERS[name]).parameters:
        assert half.defaults["betas"] == (0.5, 0.999)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("orthogonal", [None, *OPTIMIZERS])
@pytest.mark.parametrize("lr_orthogonal", [None, 0.05])
def test_each_group_has_its_own(name: str, orthogonal: str | None, lr_orthogonal: float | None) -> None:
    """Constrained weights: a rate and an algorithm of their own, with the options of the same algorithm alone."""
    model = model_of_all_kinds()
    config = OptimizerConfig(name=name, weight_decay=0.2, lr_orthogonal=lr_orthogonal, orthogonal=orthogonal, **EVERY)
    given, groups = options_of(build_optimizer(model, config)), mx.parameter_groups(model)
    assert set(given) == set(model.parameters())
    same = orthogonal in (None, name)
    own = {"lr": lr_orthogonal or 0.5, "weight_decay": 0.0}
    algorithm = OPTIMIZERS[orthogonal or name]
    expected: dict[str, dict[str, Any]] = {
        "free": {"algorithm": OPTIMIZERS[name], **EXPECTED[name]},
        "dynamics": {"algorithm": OPTIMIZERS[name], **EXPECTED[name], "weight_decay": 0.0},
        "orthogonal": {
            "algorithm": algorithm,
            **(EXPECTED[name] if same else algorithm([nn.Parameter(torch.ones(1))]).defaults),
            **own,
        },
    }
    for kind, parameters in groups.items():
        assert parameters
        for parameter in parameters:
            assert {key: given[parameter][key] for key in expected[kind]} == expected[kind]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_moves_free_parameters_alone(name: str) -> None:
    model = model_of_all_kinds()
    optimizers = build_optimizer(model, OptimizerConfig(name=name, lr=0.1, weight_decay=0.5))
    before = {parameter: parameter.detach().clone() for parameter in model.parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizers.step()
    for kind, parameters in mx.parameter_groups(model).items():
        for parameter in parameters:
            assert torch.equal(parameter, before[parameter]) is (kind != "free")


class Counted(Constraint):
    """A constraint that counts what is asked of it, and sees its parameter at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 2))
        self.seen: list[Tensor] = []

    def forward(self) -> Tensor:
        return self.weight

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)

    def after_step(self) -> None:
        self.seen.append(self.weight.detach().clone())


def test_a_step_is_followed_by_after_step_once_for_each_constraint() -> None:
    model = nn.ModuleList([Counted(), Counted(), nn.Linear(2, 2)])
    optimizers = build_optimizer(model, OptimizerConfig(name="sgd", lr=0.5, lr_orthogonal=2.0))
    for step in (1, 2):
        optimizers.zero_grad()
        sum(parameter.sum() for parameter in model.parameters()).backward()
        optimizers.step()
        for constraint in (model[0], model[1]):
            assert len(constraint.seen) == step
            assert torch.equal(constraint.seen[-1], torch.full((2, 2), -2.0 * step))


def test_a_step_re_bases_dtriv() -> None:
    layer = mx.DTRIV(2, 4, rebase=2)
    optimizers = build_optimizer(layer, OptimizerConfig(name="sgd", lr=0.1))
    base = layer.weight_hh_l0.base.clone()
    for step in (1, 2):
        optimizers.zero_grad()
        layer(torch.randn(3, 1, 2))[0].sin().sum().backward()
        optimizers.step()
        assert torch.equal(layer.weight_hh_l0.base, base) is (step == 1)
        assert bool(layer.weight_hh_l0.A.any()) is (step == 1)


def test_gradients_are_forgotten_everywhere() -> None:
    model = model_of_all_kinds()
    optimizers = build_optimizer(model, OptimizerConfig(orthogonal="adam"))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizers.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_state_of_all_parts_is_saved_and_taken_up() -> None:
    """Two steps, or one, a save, and one by other optimizers with that state: the same weights."""
    torch.manual_seed(0)
    gradients = [[torch.randn_like(parameter) for parameter in model_of_all_kinds().parameters()] for _ in range(2)]

    def step(model: nn.Module, optimizers: Optimizers, values: list[Tensor]) -> None:
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.grad = value.clone()
        optimizers.step()

    config = OptimizerConfig(name="adam", lr=0.1, orthogonal="rmsprop")
    whole, parts = model_of_all_kinds(), model_of_all_kinds()
    optimizers, first = build_optimizer(whole, config), build_optimizer(parts, config)
    for values in gradients:
        step(whole, optimizers, values)
    step(parts, first, gradients[0])
    saved = first.state_dict()
    assert list(saved) == ["0", "1"]
    second = build_optimizer(parts, config)
    second.load_state_dict(saved)
    step(parts, second, gradients[1])
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    with pytest.raises(KeyError, match="1"):
        second.load_state_dict({"0": saved["0"]})


def test_the_state_of_a_single_algorithm_is_still_read() -> None:
    """Checkpoints from before there could be two have torch's own state."""
    model = nn.Linear(2, 1)
    optimizer = build_optimizer(model, OptimizerConfig(alpha=0.9))
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    again = build_optimizer(model, OptimizerConfig(alpha=0.9))
    again.load_state_dict(optimizer.parts[0].state_dict())
    torch.testing.assert_close(again.state_dict(), optimizer.state_dict())
