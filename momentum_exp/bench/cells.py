"""`python -m momentum_exp.bench.cells`: every recurrence under identity and momentum: time, memory, size, loss.

The loss is that of runs, made beforehand by `make bench-cells`; a cell that has none shows `--`.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from momentum_exp.bench.contenders import BASELINE, Contender
from momentum_exp.bench.measure import machine_facts, measure
from momentum_exp.cells import recurrence_names
from momentum_exp.cells.options import constrained, recurrences
from momentum_exp.errors import UserError
from momentum_exp.files import write_text_whole
from momentum_exp.tracking.run_record import finished_runs

GAP = "--"
DYNAMICS = ("identity", "momentum")
Losses = Mapping[tuple[str, str], float]


def measured_cell(recurrence: str, hidden_size: int, repeats: int) -> list[dict[str, Any]]:
    """One row each for identity and momentum, against torch.nn.LSTM of the same size, in turn."""
    allowed = recurrences()[recurrence].dynamics or DYNAMICS
    pairs = [dynamics for dynamics in DYNAMICS if dynamics in allowed]
    contenders = [Contender(f"auto {recurrence} {dynamics}", hidden_size) for dynamics in pairs]
    rows = measure([Contender(BASELINE, hidden_size), *contenders], repeats, warm_up=1, requests=("training",))[1:]
    for row, dynamics, contender in zip(rows, pairs, contenders, strict=True):
        layer: Any = contender.build()
        parameters = sum(p.numel() * (2 if p.is_complex() else 1) for p in layer.parameters())
        row |= {"recurrence": recurrence, "dynamics": dynamics, "engine": layer.engine, "parameters": parameters}
    return rows


def losses_of(folder: Path) -> Losses:
    """The last test loss of the finished runs under `folder`, by (recurrence, dynamics); none where there are none."""
    try:
        runs, _ = finished_runs(folder)
    except UserError:
        return {}
    return {(run.config["cell"]["recurrence"], run.config["cell"]["dynamics"]): _last_loss(run.epochs) for run in runs}


def table(rows: list[dict[str, Any]], losses: Losses, loss_size: int) -> str:
    """The rows as Markdown; losses are of runs with N = `loss_size`."""
    lines = [
        "| recurrence | dynamics | N | parameters | engine | ms | x torch.nn.LSTM | peak MB | test loss |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        loss = losses.get((row["recurrence"], row["dynamics"])) if row["hidden_size"] == loss_size else None
        lines.append(
            f"| {row['recurrence']} | {row['dynamics']} | {row['hidden_size']} | {row['parameters']:,} "
            f"| {row['engine']} | {row['training_median_ms']:.0f} | {row['training_ratio']:.2f} "
            f"| {row['peak_mb']:.0f} | {GAP if loss is None else f'{loss:.3f}'} |"
        )
    return "\n".join(lines) + "\n"


def _last_loss(epochs: list[dict[str, Any]]) -> float:
    return float(epochs[-1]["test_loss"])


def main() -> None:
    """Measure, print, and write `cells.json` and `cells.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for cells.json and cells.md")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs that give the losses")
    parser.add_argument("--repeats", type=int, default=3, help="counted iterations of each contender")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128], help="N for every recurrence")
    parser.add_argument("--more", type=int, nargs="*", default=[170, 512], help="N for constrained ones alone")
    parser.add_argument("--recurrences", nargs="+", default=recurrence_names(), help="default: all")
    arguments = parser.parse_args()
    facts = machine_facts()
    losses = losses_of(arguments.runs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for recurrence in arguments.recurrences:
        for size in [*arguments.sizes, *(arguments.more if constrained(recurrence) else [])]:
            rows += measured_cell(recurrence, size, arguments.repeats)
            print(f"{recurrence}, N = {size}: {rows[-1]['training_median_ms']:.0f} ms", file=sys.stderr)
        write(arguments.out, facts, rows, losses, arguments.repeats, arguments.sizes[0])
    print((arguments.out / "cells.md").read_text())


def write(
    out: Path, facts: dict[str, Any], rows: list[dict[str, Any]], losses: Losses, repeats: int, loss_size: int
) -> None:
    """`cells.json` and `cells.md` with what there is so far."""
    text = (
        f"{facts['device']}, {facts['threads']} threads, torch {facts['packages']['torch']}, float32, T = 784, "
        f"B = 128, D = 1; forward + backward, medians of {repeats} interleaved iterations, x = median of pairwise "
        f"ratios to {BASELINE} of the same N, all with the heap kept. Parameters: of the layer. Test loss: after one "
        "epoch (79 steps) on the first 10,000 rows of pmnist, seed 0, N = 128, the same optimizer for all (the "
        f"protocol's): a smoke test, not a ranking.\n\n{table(rows, losses, loss_size)}"
    )
    content = {"environment": facts, "rows": rows, "losses": {" ".join(pair): loss for pair, loss in losses.items()}}
    write_text_whole(out / "cells.json", json.dumps(content, indent=1) + "\n")
    write_text_whole(out / "cells.md", text)


if __name__ == "__main__":
    main()
