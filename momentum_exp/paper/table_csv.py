"""A table in long form: a line an arm and column, traced to its runs."""

import csv
import io
from collections.abc import Iterable, Sequence

from momentum_exp.paper.study import load_study
from momentum_exp.paper.table import Table
from momentum_exp.paper.table_entries import Entry, Filled
from momentum_exp.summary.provenance import commits, devices


def long_form(table: Table, columns: Sequence[Filled], scale: str) -> str:
    """CSV. Lists in a field are separated by spaces, `values` in the order of `seeds`, `runs` are run hashes.

    `scale_says` is how they differ from
    the paper's; `command` makes them by hand.
    """
    lines = [_line(table, arm, entry, scale) for column in columns for arm, entry in column.entries.items()]
    text = io.StringIO()
    if lines:
        writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return text.getvalue()


def _line(table: Table, arm: str, entry: Entry, scale: str) -> dict[str, object]:
    column, first, values = entry.column, entry.first, entry.values
    states = [one.state for one in entry.planned]
    seeds = ",".join(str(one.run.seed) for one in entry.planned)
    best = entry.published[0] if entry.published else None
    return {
        "table": table.name,
        "scale": scale,
        "scale_says": load_study(column.study).scales[scale].says,
        "study": column.study,
        "arm": arm,
        "label": entry.label,
        "ours": arm in table.ours,
        "quantity": entry.heading,
        "selection": column.rule if column.quantity in ("metric", "loss") else column.quantity,
        "mean": _number(entry.mean),
        "std": _number(entry.std),
        "n": len(values),
        "seeds": _listed(values),
        "values": _listed(map(_number, values.values())),
        "planned": len(states),
        "diverged": states.count("diverged"),
        "failed": states.count("failed"),
        "published": best and best.value,
        "published_std": best and best.sd,
        "published_n": best and best.n_seeds,
        "published_hidden_size": best and best.hidden_size,
        "published_rule": best and best.rule,
        "published_certainty": best and best.certainty,
        "published_source": best and best.source,
        "published_others": "; ".join(f"{other.text('')} ({other.source})" for other in entry.published[1:]),
        "parameters": entry.parameters,
        "group": first.identity.group,
        "runs": _listed(run.identity["hash"] for run in entry.runs),
        "commits": _traced(commits(run) for run in entry.runs),
        "devices": _traced(devices(run) for run in entry.runs),
        "command": f"python -m momentum_exp -m {_listed(first.overrides)} seed={seeds}",
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.8g}"


def _listed(parts: Iterable[object]) -> str:
    return " ".join(map(str, parts))


def _traced(of_runs: Iterable[Sequence[str]]) -> str:
    """Names that may have spaces in them, each once."""
    return "; ".join(dict.fromkeys(name for names in of_runs for name in names))
