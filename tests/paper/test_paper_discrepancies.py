"""The page of discrepancies: every switch on it is a command that can be given."""

import re
from pathlib import Path

import pytest

from momentum_exp.runs.compose import compose_config

PAGE = Path(__file__).parents[2] / "docs" / "discrepancies.md"
ROWS = [
    [cell.strip() for cell in line.strip("| \n").split(" | ")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| what")
]


def switches(cell: str) -> list[str]:
    return [text for text in re.findall(r"`([^`]+)`", cell) if "=" in text]


def composed(text: str):
    return compose_config(text.split())


def test_every_row_has_a_switch_or_none():
    """A row ends in its switch; the few without one are those that nothing can be switched in."""
    without = [row[0] for row in ROWS if not switches(row[-1])]
    assert without == ["vanishing gradients", "test loss of MNIST", "names of logs"]


@pytest.mark.parametrize("row", [row for row in ROWS if switches(row[-1])], ids=lambda row: row[0])
def test_every_switch_is_a_command(row):
    """Each composes, and the value that it names is in the configuration."""
    for text in switches(row[-1]):
        config = composed(text)
        for override in text.split():
            key, _, value = override.partition("=")
            if "." in key and value not in ("released", "clean", "fixed", "null"):
                group, name = key.split(".")
                assert str(getattr(getattr(config, group), name)).lower() == value


def test_protocols_are_the_switches_that_they_stand_for():
    released, clean = composed("data=timit data.protocol=released"), composed("data=timit data.protocol=clean")
    for switch in ("exchange_frames", "exchange_splits", "padding_frame", "drop_sa_speakers"):
        assert getattr(released.data, switch) is True
        assert getattr(clean.data, switch) is False
