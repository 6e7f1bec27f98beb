"""A table in words: caption, header, rows and notes, for any way of typesetting."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from momentum_exp.paper.progress import OPEN
from momentum_exp.paper.published_numbers import MARKS, published
from momentum_exp.paper.table import Table
from momentum_exp.paper.table_entries import Entry, Filled
from momentum_exp.summary.provenance import provenance

GAP = "--"
OURS = "(ours)"
NUMBERS = "Numbers: mean ± sample standard deviation (n seeds)."

NOTHING = "Nothing of it exists at scale {}."


@dataclass(frozen=True)
class Layout:
    """Plain text; a row has as many cells as the header, and only the first of them is not a number."""

    name: str
    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]


def layout(table: Table, columns: Sequence[Filled], scale: str, command: str) -> Layout:
    """Lay out a table at `scale`; `command` is what makes it."""
    there = [column for column in columns if column.entries]
    rows = {arm: [column.entries.get(arm) for column in there] for arm in table.arms}
    shown = {arm: row for arm, row in rows.items() if any(row)}
    header = ["model", "N", "parameters"]
    for column in there:
        header += [column.heading, *_published_heading(column, scale)]
    body = []
    for arm, row in shown.items():
        own = [entry for entry in row if entry]
        label = f"{own[0].label} {OURS}" if arm in table.ours else own[0].label
        cells = [label, _sizes(own), _parameters(arm, own, scale)]
        for column, entry in zip(there, row, strict=True):
            cells.append(written(entry) if entry else "")
            cells += [_published(entry) if entry else ""] if column.has_published else []
        body.append(cells)
    absent = [f"No column at this scale: {c.study.title} (study {c.study.name})" for c in columns if not c.entries]
    left_out = ", ".join(arm for arm in table.arms if arm not in shown)
    absent += [f"No row at this scale: {left_out}"] if left_out else []
    entries = [entry for column in there for entry in column.entries.values()]
    return Layout(
        name=table.name,
        title=f"{table.title}.",
        caption=" ".join(
            [
                *_scale(there, scale),
                NUMBERS if there else NOTHING.format(scale),
                *_selection(there),
                *_legend(table, there),
            ]
        ),
        header=header,
        rows=body,
        notes=[*table.notes, *dict.fromkeys(absent), *_unfinished(entries), *_origin(entries), f"Made by `{command}`"],
    )


def written(entry: Entry) -> str:
    """`98.90 ± 0.05 (5)`: without the deviation for one value, `--` for none; `reached by 1 of 5`."""
    if entry.mean is None:
        return f"reached by {len(entry.values)} of {len(entry.runs)}" if entry.censored else GAP
    spread = "" if entry.std is None else f" ± {entry.quantity.show(entry.metric, entry.std)}"
    return f"{entry.quantity.show(entry.metric, entry.mean)}{spread} ({len(entry.values)})"


def _published(entry: Entry) -> str:
    return "; ".join(number.text(entry.column.rule) for number in entry.published)


def _published_heading(column: Filled, scale: str) -> list[str]:
    """The heading beside a column with published numbers: what they are of, where our runs are of something else."""
    if not column.has_published:
        return []
    numbers = [number for entry in column.entries.values() for number in entry.published]
    sizes = _alternatives(number.hidden_size for number in numbers)
    return ["published" if scale == "full" else f"published ({column.study.title}, N = {sizes})"]


def _sizes(own: Sequence[Entry]) -> str:
    return _alternatives(str(entry.first.config.cell.hidden_size) for entry in own)


def _parameters(arm: str, own: Sequence[Entry], scale: str) -> str:
    """Ours and, at its scale, the paper's as it rounds them."""
    ours = _alternatives(f"{entry.parameters:,}" for entry in own if entry.parameters is not None)
    if scale != "full":
        return ours or GAP
    counts = [number for entry in own for number in published(entry.column.study, arm, "parameters", "")]
    theirs = _alternatives(f"paper ≈{_rounded(int(number.value))} {number.mark}" for number in counts)
    return ", ".join(filter(None, [ours or GAP, theirs]))


def _rounded(count: int) -> str:
    return f"{count // 10**6}M" if count >= 10**6 else f"{count // 1000}K"


def _alternatives(texts: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(texts))


def _scale(there: Sequence[Filled], scale: str) -> list[str]:
    if scale == "full" or not there:
        return []
    says = dict.fromkeys(f"{column.study.title_at(scale)}: {column.study.scales[scale].says}" for column in there)
    theirs = ["Published numbers are of the paper's scale."] if any(column.has_published for column in there) else []
    return [f"{scale.upper()} SCALE: {'; '.join(says)}.", *theirs]


def _selection(there: Sequence[Filled]) -> list[str]:
    """Which epochs the values are of, with the columns that share a rule together."""
    rules: dict[str, list[str]] = {}
    for column in there:
        entry = next(iter(column.entries.values()))
        rules.setdefault(entry.quantity.selection(column.column.rule), []).append(column.heading)
    if len(rules) == 1:
        return [f"All values {rule}." for rule in rules]
    return [f"{', '.join(headings)}: {rule}." for rule, headings in rules.items()]


def _legend(table: Table, there: Sequence[Filled]) -> list[str]:
    entries = [entry for column in there for entry in column.entries.values()]
    numbers = [(entry.column.rule, number) for entry in entries for number in entry.published]
    used = {number.mark for _, number in numbers}
    legend = [f"{mark} {meaning}" for mark, meaning in MARKS.items() if mark in used]
    other = dict.fromkeys(f"[{number.rule}]" for rule, number in numbers if number.rule not in ("", rule))
    legend += [f"{' '.join(other)} published by another selection rule than ours beside it"] if other else []
    legend += (
        [f"{OURS} not in the paper"] if {arm for column in there for arm in column.entries} & set(table.ours) else []
    )
    return [f"{'; '.join(legend)}."] if legend else []


def _unfinished(entries: Sequence[Entry]) -> list[str]:
    """Seeds that came to no value, an arm and study a line, and how many runs are still to be done."""
    notes = []
    for entry in entries:
        states = [one.state for one in entry.planned]
        where = f"{entry.label}, {entry.task}"
        for state in ("diverged", "failed", "running"):
            if state in states:
                notes.append(f"{where}: {states.count(state)} of {len(states)} seeds {state}")
        if without := len(entry.runs) - len(entry.values):
            notes.append(f"{entry.label}, {entry.heading}: {without} of {len(entry.runs)} finished runs have none")
    runs = {one.run.identity.hash: one.state for entry in entries for one in entry.planned}
    missing = sum(state in OPEN for state in runs.values())
    return list(dict.fromkeys(notes)) + ([f"PARTIAL: {missing} of {len(runs)} runs are missing"] if missing else [])


def _origin(entries: Sequence[Entry]) -> list[str]:
    return provenance(list({run.path: run for entry in entries for run in entry.runs}.values()))
