"""The authors' curves, as the package holds them (`published/curves`)."""

import csv
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from momentum_exp.errors import UserError

FROM_ONE = "ptb"
"""The data set whose logs count epochs from 1; the others count from 0 and measure after the epoch."""


@dataclass(frozen=True)
class PublishedCurve:
    """A loss of one model over `n_seeds` seeds, at P positions `x`: epochs trained, or iterations."""

    model: str
    n_seeds: int
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def published_curves(name: str) -> dict[str, PublishedCurve]:
    """The curves of the file `name` (without `.csv`) by model. Raises UserError where there is none such.

    Rows that repeat the sample of the row before are one: an iteration's last, which is the nearest to the sample;
    of PTB's epochs 0 and 1 the second.
    """
    folder = files(__package__).joinpath("published", "curves")
    known = sorted(file.name.removesuffix(".csv") for file in folder.iterdir() if file.name.endswith(".csv"))
    if name not in known:
        raise UserError(f"{name}: there is no such published curve. Known are {', '.join(known)}")
    rows: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(folder.joinpath(f"{name}.csv").read_text().splitlines()):
        rows.setdefault(row["model"], []).append(row)
    shift = 1 if "epoch" in next(iter(rows.values()))[0] and not name.startswith(FROM_ONE) else 0
    return {model: _curve(model, members, shift) for model, members in rows.items()}


def _curve(model: str, rows: list[dict[str, str]], shift: int) -> PublishedCurve:
    position = "epoch" if "epoch" in rows[0] else "step"
    kept = [
        row
        for row, after in zip(rows, [*rows[1:], None], strict=True)
        if after is None or (row["mean"], row["min"], row["max"]) != (after["mean"], after["min"], after["max"])
    ]
    mean, low, high = (np.array([float(row[column]) for row in kept]) for column in ("mean", "min", "max"))
    x = np.array([int(row[position]) + shift for row in kept])
    return PublishedCurve(model, int(rows[0]["n_seeds"]), x, mean, low, high)
