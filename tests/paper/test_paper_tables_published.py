"""Every table there is, at every scale, without any run; and every published number has its place in one."""

import re
from pathlib import Path

import pytest
from table_files import body, by_arm, check_latex, texts

from momentum_exp.paper.published_numbers import MARKS, published_numbers
from momentum_exp.paper.study import load_study, plan
from momentum_exp.paper.table import load_table, table_names

NOWHERE = [("table2", "smoke"), ("table2_long", "full")]
"""Tables of which nothing exists at that scale."""


@pytest.mark.parametrize(
    ("name", "scale"),
    [*((name, "full") for name in table_names() if name != "ablation"), ("table5", "reduced"), ("table2", "smoke")],
)
def test_every_table_renders_without_any_run(name: str, scale: str, tmp_path: Path) -> None:
    """No number of ours, published ones beside; what does not exist at a scale is said."""
    found = texts(name, tmp_path, scale, [0])
    head, _, *rows = body(found[".md"])
    check_latex(found[".tex"])
    assert all(len(row) == len(head) and row[2].startswith("--") for row in rows)
    assert {line["mean"] for line in by_arm(found[".csv"]).values()} <= {""}
    if (name, scale) in NOWHERE:
        assert (rows, head) == ([], ["model", "N", "parameters"])
        assert f"Nothing of it exists at scale {scale}." in found[".md"]
        assert "PARTIAL" not in found[".md"]
    else:
        assert ("REDUCED SCALE: TIMIT sample: the 160-sentence sample" in found[".md"]) == (scale == "reduced")
        assert any("✓" in cell or "†" in cell for row in rows for cell in row)
        assert re.search(r"PARTIAL: (\d+) of \1 runs are missing", found[".md"])


def test_every_published_number_has_its_place() -> None:
    """In a study's arm at full scale, with its N, and in a column of some table."""
    sizes = {
        (run.study, run.arm): str(run.config.cell.hidden_size)
        for name in {key[0] for key in published_numbers()}
        for run in plan(load_study(name), "full", [0])
    }
    places = {
        (column.study, arm, column.key, column.split)
        for name in table_names()
        for column in load_table(name).columns
        for arm in load_table(name).arms
    }
    for (study, arm, quantity, split), numbers in published_numbers().items():
        assert arm in load_study(study).at("full")
        if quantity != "parameters":
            assert any(place[:3] == (study, arm, quantity) and split in (place[3], "") for place in places), arm
        for number in numbers:
            assert float(number.value) > 0
            assert number.mark in MARKS
            assert number.hidden_size == sizes[study, arm]
            assert number.rule in ("", "best_val", "best_test")
            assert number.source
