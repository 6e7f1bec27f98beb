"""Every key of the schema explains itself, and every cell has its YAML."""

import dataclasses
from typing import Any

import pytest
from omegaconf import OmegaConf

from momentum_exp.cells import applicable_options, dynamics_names, recurrence_names
from momentum_exp.command_line import conf_dir, explain
from momentum_exp.config import Allowed, CellConfig, Config, DataConfig, OptimizerConfig, schema_keys
from momentum_exp.training.optimizers import OPTIMIZERS
from momentum_exp.validation import CELL_OPTIONS

KEYS = dict(schema_keys())
CELLS = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in (conf_dir() / "cell").glob("*.yaml")}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_has_a_meaning_and_an_example_that_passes_its_own_check(name: str) -> None:
    metadata = KEYS[name].metadata
    assert metadata["meaning"]
    assert metadata["example"] is not None
    structured = OmegaConf.structured(Config(data=DataConfig(name="digits")))
    written = explain(name).rsplit(" Write ", 1)[1]
    merged = OmegaConf.merge(structured, OmegaConf.from_dotlist([written]))  # the type is right
    value = OmegaConf.select(merged, name)
    assert metadata["allowed"].holds(OmegaConf.to_object(value) if OmegaConf.is_config(value) else value)


@pytest.mark.parametrize("name", KEYS)
def test_a_default_lies_in_its_own_range(name: str) -> None:
    field = KEYS[name]
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    if default not in (None, "???"):
        assert field.metadata["allowed"].holds(default)


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (Allowed(low=0, high=1, high_open=True), [0, 0.5], [-0.1, 1, 1.5]),
        (Allowed(low=0, low_open=True), [1e-9, 1e9], [0, -1]),
        (Allowed(low=1), [1, 2], [0]),
        (Allowed(high=3), [3, -5], [4]),
        (Allowed(choices=("a", "b")), ["a"], ["c", ""]),
        (Allowed(), [0, -1.5, "x"], []),
    ],
)
def test_ranges(allowed: Allowed, inside: list[Any], outside: list[Any]) -> None:
    assert all(allowed.holds(value) for value in inside)
    assert not any(allowed.holds(value) for value in [*outside, float("nan"), float("inf"), -float("inf")])


def test_a_range_in_words() -> None:
    assert Allowed(low=0, high=1, high_open=True).describe("mu") == "0 <= mu < 1"
    assert Allowed(low=0, low_open=True).describe("s") == "0 < s"


@pytest.mark.parametrize("cell", CELLS)
def test_the_yaml_of_a_cell_names_a_pair_that_exists_and_its_options_alone(cell: str) -> None:
    content = dict(CELLS[cell])
    known = applicable_options(content.pop("recurrence"), content.pop("dynamics"))
    assert set(content) <= set(known)
    assert set(content) == {name for name in CELL_OPTIONS if name in known}


def test_every_recurrence_and_every_dynamics_has_a_yaml() -> None:
    assert {content["recurrence"] for content in CELLS.values()} == set(recurrence_names())
    assert {content["dynamics"] for content in CELLS.values()} == set(dynamics_names())


def test_every_optimizer_has_a_yaml_of_its_name() -> None:
    names = {path.stem: OmegaConf.load(path).name for path in (conf_dir() / "optimizer").glob("*.yaml")}
    assert names == {name: name for name in OPTIMIZERS}
    assert set(KEYS["optimizer.name"].metadata["allowed"].choices) == set(OPTIMIZERS)


def test_every_option_of_a_cell_is_a_key() -> None:
    """But `reset_k_per_segment`, which is about carrying state on: no task here does."""
    fields = {field.name for field in dataclasses.fields(CellConfig)}
    options = {
        name for content in CELLS.values() for name in applicable_options(content["recurrence"], content["dynamics"])
    }
    assert options - fields == {"reset_k_per_segment"}
    assert set(CELL_OPTIONS) == options & fields


def test_every_key_of_an_optimizer_is_read_by_one() -> None:
    from momentum_exp.training.optimizers import optimizer_options

    fields = {field.name for field in dataclasses.fields(OptimizerConfig)}
    assert set().union(*(optimizer_options(name) for name in OPTIMIZERS)) == fields
