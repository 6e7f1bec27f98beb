"""What is tuned is written in a sweep's grammar, on the command line or in a file; a mistake there gets one message."""

from pathlib import Path

import optuna
import pytest
from hydra.errors import HydraException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from momentum_exp.errors import UserError
from momentum_exp.tune.options import known, read_command
from momentum_exp.tune.space import dimension, probes

WRITTEN = {
    "cell.mu=interval(0,0.9)": FloatDistribution(0, 0.9),
    "optimizer.lr=tag(log,interval(1e-4,1e-2))": FloatDistribution(1e-4, 1e-2, log=True),
    "cell.hidden_size=interval(8,64)": IntDistribution(8, 64),
    "cell.hidden_size=tag(log,int(interval(8,64)))": IntDistribution(8, 64, log=True),
    "cell.hidden_size=range(16,65,16)": IntDistribution(16, 64, step=16),
    "cell.mu=range(0.1,0.5,0.1)": FloatDistribution(0.1, 0.4, step=0.1),
    "cell.s=choice(0.1,1.0)": CategoricalDistribution(["0.1", "1.0"]),
    "cell=lstm,gru,lstm": CategoricalDistribution(["lstm", "gru"]),
    "cell.learn=[mu,s],[mu]": CategoricalDistribution(["[mu,s]", "[mu]"]),
    "data.permutation=fixed,null": CategoricalDistribution(["fixed", "null"]),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_every_form_of_a_sweep_is_a_distribution_within_which_values_are_suggested(written: str) -> None:
    found = dimension(written)
    assert found is not None
    assert found.distribution == WRITTEN[written]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        key, _, value = found.suggest(study.ask()).partition("=")
        assert key == written.split("=")[0]
        internal = value if isinstance(found.distribution, CategoricalDistribution) else float(value)
        assert found.distribution._contains(found.distribution.to_internal_repr(internal))


@pytest.mark.parametrize("written", ["cell.mu=0.5", "cell=lstm", "cell.learn=[mu,s]", "~experiment", "+a=1"])
def test_a_single_value_is_not_tuned(written: str) -> None:
    assert dimension(written) is None


@pytest.mark.parametrize(
    ("written", "fragment"),
    [
        ("cell.mu=interval(0.9,0)", "low <= high"),
        ("optimizer.lr=tag(log,interval(0,1))", "low > 0"),
        ("cell.mu=tag(lin,interval(0,1))", "the tag lin is unknown"),
        ("cell.hidden_size=range(16,16)", "between 1 and 1000 values"),
        ("cell.mu=glob(*)", "interval"),
        ("+cell.mu=0.1,0.3", "what is tuned is written key="),
    ],
)
def test_what_cannot_be_tuned_over_is_said_with_the_forms_that_can(written: str, fragment: str) -> None:
    with pytest.raises(UserError, match="tag") as error:
        dimension(written)
    assert fragment in str(error.value)
    assert written in str(error.value)


def test_probes_reach_every_extreme_and_every_choice() -> None:
    command = read_command(["cell.mu=interval(0,0.9)", "cell.s=choice(0.1,0.3,1.0)", "optimizer.lr=0.1"])
    assert probes(command.space) == [
        ["cell.mu=0.0", "cell.s=0.1"],
        ["cell.mu=0.9", "cell.s=0.3"],
        ["cell.mu=0.9", "cell.s=1.0"],
    ]
    assert command.fixed == ["optimizer.lr=0.1"]


def test_the_command_line_wins_over_the_file_whether_it_fixes_or_tunes(tmp_path: Path) -> None:
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / "mine.yaml").write_text("trials: 7\nspace:\n  cell.mu: interval(0,0.5)\n  cell.s: 0.1,0.3\n")
    command = read_command(["tune=mine", "cell.s=0.6", "sampler=random"], tmp_path)
    assert (command.options.trials, command.options.sampler) == (7, "random")
    assert {key: one.distribution for key, one in command.space.items()} == {"cell.mu": FloatDistribution(0, 0.5)}
    command = read_command(["tune=mine", "cell.mu=interval(0,0.9)", "trials=3"], tmp_path)
    assert command.options.trials == 3
    assert command.space["cell.mu"].distribution == FloatDistribution(0, 0.9)
    assert "mine" in known(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "fragments"),
    [
        (["cell.mu=0.5"], ["nothing is tuned", "interval(0,0.9)", "momentum"]),
        (["tune=nix"], ["tune=nix", "lstm, momentum"]),
        (["trial=3"], ["trial=3", "Did you mean trials?"]),
        (["trials=0", "cell.mu=0.1,0.2"], ["trials=0", "1 <= trials"]),
        (["trials=many", "cell.mu=0.1,0.2"], ["many", "trials"]),
        (["sampler=grid", "cell.mu=0.1,0.2"], ["sampler=grid", "tpe, random"]),
    ],
)
def test_a_mistake_in_an_option_says_what_is_allowed(overrides: list[str], fragments: list[str]) -> None:
    with pytest.raises(UserError) as error:
        read_command(overrides)
    for fragment in fragments:
        assert fragment in str(error.value)


def test_what_is_no_override_is_hydra_s_to_explain() -> None:
    with pytest.raises(HydraException, match="log"):
        read_command(["cell.mu=log(1,2)"])


@pytest.mark.parametrize("name", known(None))
def test_files_that_ship_tune_something_with_the_same_budget(name: str) -> None:
    command = read_command([f"tune={name}"])
    assert command.options.trials == 20
    assert len(command.space) >= 2
