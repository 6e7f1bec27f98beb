"""A mistake in a table's file, or in its name, is one clear message."""

from pathlib import Path

import pytest
from table_files import TABLE

from momentum_exp.errors import UserError
from momentum_exp.paper.artifacts import resolve
from momentum_exp.paper.table import load_table


@pytest.mark.parametrize("stem", ["table1", "claims", "figure2", "report", "reproducibility-checklist"])
def test_a_table_with_the_name_of_what_the_project_makes_is_refused(stem: str, tmp_path: Path) -> None:
    path = tmp_path / f"{stem}.yaml"
    path.write_text(TABLE)
    with pytest.raises(UserError, match=rf"{stem}\.yaml: its files would replace .*write my_{stem}\.yaml"):
        resolve([str(path)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("momentumlstm, lstm", "momentumlst, lstm"),
            "momentumlst: there is no such arm of its studies.*Write momentumlstm",
        ),
        (("study: ptb", "study: ptp"), "ptp: there is no such study.*Write ptb"),
        (("rule: best_test}", "rule: best}"), "best: there is no such selection rule.*Write best_"),
        (("quantity: loss", "quantity: los"), "los: there is no such quantity.*Write loss"),
        (("study: ptb", "study: ptb, split: dev"), "dev: there is no such split"),
        ((", threshold: 92.29", ""), "threshold=None with quantity minutes_to"),
        (("same_bias]\nours", "lstm]\nours"), "an arm stands in two rows"),
        (("ours: [same_bias]", "our: [same_bias]"), "mine.yaml can't be read: .*our"),
        (("columns:", "columns: ["), "mine.yaml can't be read"),
    ],
)
def test_a_wrong_table_is_one_clear_message(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(TABLE.replace(*change))
    with pytest.raises(UserError, match=message):
        load_table(str(path))


def test_a_table_without_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(TABLE.partition("columns:")[0] + "columns: []\n")
    with pytest.raises(UserError, match=r"mine\.yaml: columns is empty; write what to show"):
        load_table(str(path))
