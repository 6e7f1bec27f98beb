"""A table of our own and the files that a table is rendered into, read back; whether LaTeX is sound."""

import csv
import io
import re
from pathlib import Path

from momentum_exp.paper.artifacts import tables

TABLE = """
title: Mine
columns:
  - {study: pmnist, rule: best_test}
  - {study: pmnist, quantity: loss, rule: best_test}
  - {study: pmnist, quantity: epoch_minutes}
  - {study: pmnist, quantity: minutes_to, threshold: 92.29}
  - {study: ptb}
rows: [lstm_n128, momentumlstm, lstm, same_bias]
ours: [same_bias]
notes: ["50 % & more_of it"]
"""


def texts(name: str, tmp_path: Path, scale: str = "smoke", seeds: list[int] | None = None) -> dict[str, str]:
    files = tables.render(name, scale, seeds or [0, 1, 2], tmp_path / "runs", tmp_path)
    return {file.suffix: file.read_text() for file in files}


def body(markdown: str) -> list[list[str]]:
    return [[cell.strip() for cell in line[1:-2].split("|")] for line in markdown.splitlines() if line.startswith("|")]


def by_arm(text: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(line["arm"], line["quantity"].partition(", ")[2]): line for line in csv.DictReader(io.StringIO(text))}


def check_latex(text: str) -> None:
    """Balanced braces, environments and math; rows of one width; nothing special left as it is."""
    assert text.isascii()
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("%")] == lines[:1]
    plain = re.sub(r"\\[\\%&$#_{}]", "", "\n".join(lines[1:]).replace("{!}{%\n", "{!}{\n"))
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not re.search(r"[%#~]", plain)
    assert not re.search(r"[_^](?!\d|{)", plain)
    assert re.findall(r"\\begin{(\w+)}", plain) == re.findall(r"\\end{(\w+)}", plain)[::-1]
    columns = re.search(r"begin{tabular}{(l?r*)}", text)[1]
    assert all(line.count(" & ") == len(columns) - 1 for line in lines if line.endswith(r"\\"))
    assert re.findall(r"\\(\w+rule)", text) == ["toprule", "midrule", "bottomrule"]
