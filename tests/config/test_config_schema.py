"""Every key of the schema explains itself, and every optimizer has its YAML."""

import dataclasses
from typing import Any

import pytest
from omegaconf import OmegaConf

from momentum_exp.command_line import conf_dir, explain
from momentum_exp.config import Config, DataConfig, OptimizerConfig, schema_keys
from momentum_exp.config_key import Allowed
from momentum_exp.training.optimizers import OPTIMIZERS, optimizer_options

KEYS = dict(schema_keys())


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


def test_every_optimizer_has_a_yaml_of_its_name() -> None:
    names = {path.stem: OmegaConf.load(path).name for path in (conf_dir() / "optimizer").glob("*.yaml")}
    assert names == {name: name for name in OPTIMIZERS}
    assert set(KEYS["optimizer.name"].metadata["allowed"].choices) == set(OPTIMIZERS)


def test_every_key_of_an_optimizer_is_read_by_one() -> None:
    fields = {field.name for field in dataclasses.fields(OptimizerConfig)}
    assert set().union(*(optimizer_options(name) for name in OPTIMIZERS)) == fields
