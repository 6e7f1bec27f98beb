"""The gradients of `vanishing` as curves over t for one cell and one batch, and their record."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F

from momentum_exp.data.labelled import Split
from momentum_exp.theory.subjects import Subject
from momentum_exp.theory.vanishing import Gradients, gradients


class Curves(NamedTuple):
    """For each of the `Gradients` its norm at t = 0 .. T, relative to that of dL/dh_T, mean over the samples.

    deviation: the largest relative difference of (b) and (d) from (a), over all t and samples.
    """

    subject: Subject
    norms: Gradients
    deviation: float


def curves_of(subject: Subject, batch: Split) -> Curves:
    """For each sample's own cross-entropy."""
    rows = gradients(
        subject.layer,
        batch.inputs_NTD.transpose(0, 1),
        lambda h_BH: F.cross_entropy(subject.readout(h_BH), batch.targets, reduction="sum"),
    )
    size_TB = rows.total.norm(dim=2)
    deviation = max(float(((other - rows.total).norm(dim=2) / size_TB).max()) for other in (rows.plain, rows.system))
    return Curves(subject, Gradients(*((row.norm(dim=2) / size_TB[-1]).mean(1) for row in rows)), deviation)


def record(every: Sequence[Curves]) -> str:
    """All norms as CSV: one line for each cell and each t = T .. 1 (`steps_back` is T - t)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["weights", "norm_U", "mu", "steps_back", *Gradients._fields])
    for subject, norms, _ in every:
        kind = "untrained" if subject.accuracy is None else "trained"
        last = len(norms.total) - 1
        for t in range(last, 0, -1):
            values = [f"{float(norm_T[t]):.4g}" for norm_T in norms]
            writer.writerow([kind, f"{subject.norm:.4g}", subject.mu, last - t, *values])
    return text.getvalue()


def table(every: Sequence[Curves]) -> str:
    """The cells and their norms at t = 1, the far end, as Markdown."""
    head = ["norm of U", "mu", "test accuracy", "(a)", "(c)", "(e)", "dL/dv", "(b), (d) differ from (a) by"]
    lines = [head, ["---"] * len(head)]
    for subject, norms, deviation in every:
        accuracy = "untrained" if subject.accuracy is None else f"{subject.accuracy:.1%}"
        shown = (norms.total, norms.paper, norms.second_order, norms.velocity)
        values = [f"{float(norm_T[1]):.1e}" for norm_T in shown]
        lines.append([f"{subject.norm:.2f}", f"{subject.mu:g}", accuracy, *values, f"{deviation:.0e}"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
