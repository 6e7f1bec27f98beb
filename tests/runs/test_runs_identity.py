"""Which runs are one: whatever can change the result tells them apart, and nothing else does."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from momentum_exp.config import RESULT_GROUPS, CellConfig, Config, DataConfig, OptimizerConfig, schema_keys
from momentum_exp.runs.identity import Identity, cell_name, identity
from momentum_exp.validation import get, validate

RESULT = [name for name, field in schema_keys() if field.metadata["result"] and name.split(".")[0] in RESULT_GROUPS]
OTHERS = [name for name, _ in schema_keys() if name not in RESULT and name != "seed"]
NO_RESULT = {
    *("data.root", "data.url", "trainer.device", "trainer.deterministic", "trainer.threads", "trainer.log_every"),
    *("data.protocol", "trainer.checkpoint_seconds", "retry", "force"),
}


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case list():
            return [*value, "x"]
    return 3


def with_change(name: str) -> Config:
    config = Config(data=DataConfig(name="digits"))
    group, _, last = name.rpartition(".")
    setattr(get(config, group) if group else config, last, changed(get(config, name)))
    return config


BASE = identity(Config(data=DataConfig(name="digits")))


@pytest.mark.parametrize("name", RESULT)
def test_a_key_that_can_change_the_result_makes_another_run(name: str) -> None:
    other = identity(with_change(name))
    assert (other.hash != BASE.hash, other.group != BASE.group) == (True, True)


@pytest.mark.parametrize("name", OTHERS)
def test_a_key_that_cannot_does_not(name: str) -> None:
    assert identity(with_change(name)) == BASE


def test_the_keys_that_cannot_are_these() -> None:
    assert {name for name in OTHERS if name.split(".")[0] not in ("diagnostics", "tracking", "paths")} == NO_RESULT


def test_runs_that_differ_in_the_seed_alone_share_a_group() -> None:
    other = identity(with_change("seed"))
    assert other.hash != BASE.hash
    assert other.group == BASE.group
    assert (BASE.name, other.name) == ("digits-lstm-n128-seed0", "digits-lstm-n128-seed1")
    assert BASE.folder == f"{BASE.name}-{BASE.hash}"


def test_a_null_key_added_later_leaves_older_runs_their_identity() -> None:
    @dataclasses.dataclass
    class LaterCell(CellConfig):
        later: float | None = dataclasses.field(default=None, metadata={"result": True})

    assert identity(Config(cell=LaterCell(), data=DataConfig(name="digits"))) == BASE
    assert identity(Config(cell=LaterCell(later=1.0), data=DataConfig(name="digits"))) != BASE


def test_identities_do_not_drift() -> None:
    """Every run folder that exists is found by this hash: a change here orphans them all."""
    config = Config(
        cell=CellConfig(dynamics="momentum", mu=0.6, s=0.6, hidden_size=256, engine="library"),
        data=DataConfig(name="mnist", permutation="released", validation=0),
        optimizer=OptimizerConfig(alpha=0.9, momentum=0.0, eps=1e-8),
    )
    assert identity(config).folder == "pmnist-momentumlstm-n256-seed0-d348261db5"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("cell=lstm cell.dynamics=momentum cell.mu=0.6 cell.s=0.6", "cell=momentumlstm"),
        ("cell=lstm cell.dynamics=momentum", "cell=momentumlstm"),
        ("cell=gru cell.engine=library", "cell=gru"),
        ("cell=srlstm cell.restart=0", "cell=nesterovlstm"),
        ("cell=adamlstm cell.dynamics=identity", "cell=lstm"),
        ("cell=lstm trainer=auto", "cell=lstm trainer=cpu"),
        ("data=digits data.permutation=fixed", "data=pdigits"),
        ("optimizer=sgd optimizer.momentum=0", "optimizer=sgd"),
        ("cell.learn=[s,mu] cell.learn_per=layer", "cell.learn=[mu,s]"),
        ("cell=dtriv optimizer.orthogonal=rmsprop", "cell=dtriv"),
        ("experiment=pmnist_momentumlstm_n256", "cell=momentumlstm data=pmnist cell.hidden_size=256"),
        ("diagnostics=paper tracking=wandb paths.data=elsewhere seed=3", "seed=3"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*has no effect and is dropped")
def test_equal_cells_written_differently_are_one_run(runs: Any, ours: str, theirs: str) -> None:
    hidden = "cell.hidden_size=256"
    assert runs.folder(*ours.split(), hidden) == runs.folder(*theirs.split(), hidden)


@pytest.mark.parametrize(
    "other", ["cell=lstm", "cell.s=1.0", "cell.engine=reference", "data=pdigits", "optimizer=adam", "trainer.epochs=3"]
)
def test_different_runs_are_not_one(runs: Any, other: str) -> None:
    assert runs.folder(other) != runs.folder()


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (CellConfig(), "lstm"),
        (CellConfig(dynamics="momentum"), "momentumlstm"),
        (CellConfig(dynamics="nesterov"), "nesterovlstm"),
        (CellConfig(dynamics="nesterov", restart=0), "nesterovlstm"),
        (CellConfig(dynamics="nesterov", restart=2), "srlstm"),
        (CellConfig(recurrence="srlstm_released"), "srlstm_released"),
    ],
)
def test_the_name_of_a_pair_is_the_papers(cell: CellConfig, name: str) -> None:
    assert cell_name(Config(cell=cell)) == name


def test_the_configuration_that_is_kept_makes_the_same_run(runs: Any) -> None:
    overrides = ("cell=adamlstm", "trainer.max_steps=1", "diagnostics=none")
    runs.run(*overrides)
    folder: Path = runs.folder(*overrides)
    kept = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(folder / ".hydra" / "config.yaml"))
    me: Identity = identity(validate(kept))
    assert me.folder == folder.name
    assert OmegaConf.load(folder / ".hydra" / "overrides.yaml") == runs.arguments(*overrides)


@pytest.mark.parametrize("cell", ["momentumlstm", "gru"])  # measured in the step itself, and by a pass before it
def test_diagnostics_threads_and_how_often_is_recorded_change_no_bit(runs: Any, tmp_path: Path, cell: str) -> None:
    """What is left out of the identity does not move the result: dropout draws from the same random numbers."""
    overrides = (f"cell={cell}", "trainer.max_steps=5", "cell.num_layers=2", "cell.dropout=0.5")
    overrides = (*overrides, "diagnostics.figures=false")
    plain = type(runs)(tmp_path / "plain")
    plain.run(*overrides, "diagnostics=none", "trainer.log_every=5")
    runs.run(*overrides, "diagnostics.every=1", "trainer.log_every=1", "trainer.checkpoint_seconds=0")
    folders = [each.folder(*overrides) for each in (plain, runs)]
    first, second = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in folders)
    assert all(torch.equal(tensor, second["model"][name]) for name, tensor in first["model"].items())
    assert torch.equal(first["rng"], second["rng"])
    epochs = [[r for r in runs.records(folder) if r["kind"] == "epoch"] for folder in folders]
    assert epochs[0] == epochs[1]
    assert (folders[0] / "diagnostics.npz").exists() is False
    assert (folders[1] / "diagnostics.npz").exists()
