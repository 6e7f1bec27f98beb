"""metrics.jsonl: whatever a kill leaves behind, what was recorded before it can be read."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from momentum_exp.errors import UserError
from momentum_exp.tracking.records import Records, read_records

STEPS = [{"kind": "step", "step": step, "train_loss": 1.0 / step} for step in (1, 2, 3)]


def write(path: Path) -> Records:
    records = Records(path)
    for record in STEPS:
        records.append(record)
    return records


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    records = write(tmp_path / "metrics.jsonl")
    assert records.read() == STEPS
    assert records.count == 3


def test_a_file_that_does_not_exist_has_no_records(tmp_path: Path) -> None:
    assert Records(tmp_path / "metrics.jsonl").read() == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_becomes_null_in_strict_json(tmp_path: Path, bad: float) -> None:
    records = Records(tmp_path / "metrics.jsonl")
    records.append({"kind": "parameters", "step": 1, "grad_norms": {"w": bad, "b": 2.0}, "loss": bad})
    line = json.loads(records.path.read_text(), parse_constant=pytest.fail)
    assert line == {"kind": "parameters", "step": 1, "grad_norms": {"w": None, "b": 2.0}, "loss": None}
    assert records.read() == [line]


def test_every_cut_of_the_last_line_leaves_the_lines_before(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path)
    whole = path.read_bytes()
    start_of_last = whole[:-1].rindex(b"\n") + 1
    for cut in range(start_of_last, len(whole)):
        path.write_bytes(whole[:cut])
        complete = cut == len(whole) - 1  # only the newline is missing
        assert read_records(path) == (STEPS if complete else STEPS[:2])


@pytest.mark.parametrize("torn", ['{"kind": "st', '{"kind": "step", "step": 4}'])
def test_truncate_mends_a_torn_file_and_appending_goes_on(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path)
    with path.open("a") as file:
        file.write(torn)
    resumed = Records(path)
    resumed.truncate(2)
    assert resumed.count == 2
    resumed.append({"kind": "step", "step": 3, "again": True})
    assert resumed.read() == [*STEPS[:2], {"kind": "step", "step": 3, "again": True}]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_truncate_to_nothing_and_beyond_the_end(tmp_path: Path) -> None:
    records = write(tmp_path / "metrics.jsonl")
    records.truncate(10)
    assert (records.count, records.read()) == (3, STEPS)
    records.truncate(0)
    assert (records.count, records.read()) == (0, [])


@pytest.mark.parametrize(
    "line",
    ["not json", "[1]", "{}", "", '{"kind": "step"}', '{"kind": "step", "step": 1, "loss": NaN}', "\xff"],
)
@pytest.mark.parametrize("position", [0, 1, 3])
def test_any_other_bad_line_is_an_error_that_names_it(tmp_path: Path, line: str, position: int) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps(record) for record in STEPS]
    lines.insert(position, line)
    path.write_bytes("".join(text + "\n" for text in lines).encode("latin-1"))
    with pytest.raises(UserError, match=rf"metrics\.jsonl, line {position + 1}: "):
        read_records(path)


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_finite_numbers_come_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    records = Records(tmp_path_factory.mktemp("records") / "metrics.jsonl")
    for value in values:
        records.append({"kind": "step", "step": 1, "value": value})
    assert [record["value"] for record in records.read()] == values
