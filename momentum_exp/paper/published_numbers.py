"""The paper's numbers and those of the authors' logs, each with its certainty and source (published/README.md)."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

VERIFIED, NOT_CHECKED = "✓", "†"
MARKS: Mapping[str, str] = {
    VERIFIED: "mean verified by the authors' logs, notebook or code",
    NOT_CHECKED: "published (not re-checked)",
}
CERTAINTY: Mapping[str, str] = {"M": NOT_CHECKED, "M+": VERIFIED, "L": VERIFIED, "N": VERIFIED, "C": VERIFIED}
ORIGINS: Mapping[str, str] = {"paper": "", "literature": "literature", "ablation": "ablation", "logs": "logs"}
"""Whose runs a number is of, as it is marked; the paper's own go unmarked."""


@dataclass(frozen=True)
class Published:
    """One number as it was printed: `value` and `sd` keep their digits, `sd`, `n_seeds` and `high` may be empty.

    `quantity` and `split` are a column's (Column.key, Column.split), `rule` the selection rule, empty where it is not
    known or there is none; `hidden_size` is the arm's N; `high` ends a range that begins with `value`.
    """

    study: str
    arm: str
    hidden_size: str
    split: str
    quantity: str
    rule: str
    origin: str
    value: str
    sd: str
    n_seeds: str
    high: str
    certainty: str
    source: str

    @property
    def mark(self) -> str:
        """`✓` or `†`, a key of MARKS."""
        return CERTAINTY[self.certainty]

    def text(self, rule: str) -> str:
        """`95.05 † ± 0.37 (5)`: the mark is the mean's; whose it is, unless the paper's, and by which selection rule,
        unless by `rule`."""
        parts = [f"{self.value} {self.mark}"]
        parts += [f"± {self.sd}"] if self.sd else []
        parts += [f"to {self.high}"] if self.high else []
        parts += [f"({self.n_seeds})"] if self.n_seeds else []
        parts += [ORIGINS[self.origin]] if ORIGINS[self.origin] else []
        parts += [f"[{self.rule}]"] if self.rule not in ("", rule) else []
        return " ".join(parts)


@cache
def published_numbers() -> Mapping[tuple[str, str, str, str], list[Published]]:
    """All numbers by study, arm, quantity and split (empty where the quantity has none), the paper's own first."""
    numbers: dict[tuple[str, str, str, str], list[Published]] = {}
    text = files(__package__).joinpath("published", "tables.csv").read_text()
    for row in csv.DictReader(text.splitlines()):
        number = Published(**row)
        numbers.setdefault((number.study, number.arm, number.quantity, number.split), []).append(number)
    for found in numbers.values():
        found.sort(key=lambda number: list(ORIGINS).index(number.origin))
    return numbers


def published(study: str, arm: str, quantity: str, split: str) -> list[Published]:
    """The published numbers of one place in a table, the paper's own first; none where there are none."""
    numbers = published_numbers()
    return numbers.get((study, arm, quantity, split)) or numbers.get((study, arm, quantity, ""), [])
