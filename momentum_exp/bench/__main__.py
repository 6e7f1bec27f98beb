"""`python -m momentum_exp.bench`: all contenders in turn, medians, and torch.nn.LSTM's time over each one's."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from momentum_exp.bench.contenders import BASELINE, groups, orthogonal_group
from momentum_exp.bench.measure import machine_facts, measure
from momentum_exp.bench.targets import TARGETS
from momentum_exp.files import write_text_whole

SIZES, ORTHOGONAL = (128, 256), (170, 512)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown; a speed above 1 is faster than torch.nn.LSTM."""
    lines = [
        "| N | layer | forward ms | speed | forward + backward ms | speed | peak MB | page faults |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['hidden_size']} | {row['label']} | {row['forward_median_ms']:.0f} "
            f"| {1 / row['forward_ratio']:.2f} | {row['training_median_ms']:.0f} | {1 / row['training_ratio']:.2f} "
            f"| {row['peak_mb']:.0f} | {row['faults']} |"
        )
    return "\n".join(lines) + "\n"


def judged(rows: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """The targets beside what was measured, as Markdown, and those that were missed."""
    lines, missed = ["| target | must | aim | measured | |", "|---|---|---|---|---|"], []
    for target in TARGETS:
        value = target.value(rows)
        verdict = target.verdict(value)
        sign = "<= " if target.at_most else ""
        lines.append(f"| {target.what} | {sign}{target.must:g} | {sign}{target.aim:g} | {value:.2f} | {verdict} |")
        if verdict == "missed":
            missed.append(
                f"{target.what}: {value:.2f}, must be {'at most' if target.at_most else 'at least'} {target.must}"
            )
    return "\n".join(lines) + "\n", missed


def main() -> None:
    """Measure, print, and write `bench.json` and `bench.md`; with --check, exit with 1 when a `must` is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for bench.json and bench.md")
    parser.add_argument("--repeats", type=int, default=9, help="counted iterations of each contender")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target's `must` is missed")
    arguments = parser.parse_args()
    everything = [group for size in SIZES for group in groups(size)] + [orthogonal_group(size) for size in ORTHOGONAL]
    rows = []
    for number, group in enumerate(everything):
        print(f"{number + 1}/{len(everything)}: N = {group[0].hidden_size}", file=sys.stderr)
        rows += [{"group": number, **row} for row in measure(group, arguments.repeats)]
    facts = machine_facts()
    targets, missed = judged(rows)
    text = (
        f"{facts['device']}, {facts['threads']} threads, torch {facts['packages']['torch']}, float32, T = 784, "
        f"B = 128, D = 1; medians of {arguments.repeats} interleaved iterations, the heap kept unless said; speed = "
        f"median of the pairwise ratios of {BASELINE}'s time to the layer's, each group with its own {BASELINE}.\n\n"
        f"{targets}\n{product_rates(rows)}\n\n{table(rows)}"
    )
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_text_whole(arguments.out / "bench.json", json.dumps({"environment": facts, "rows": rows}, indent=1) + "\n")
    write_text_whole(arguments.out / "bench.md", text)
    if arguments.check and missed:
        sys.exit("missed: " + "; ".join(missed))


def product_rates(rows: list[dict[str, Any]]) -> str:
    """What torch's own matrix products reach, in words."""
    said = []
    for size in SIZES:
        rates = next(row["product_gflops"] for row in rows if row["hidden_size"] == size)
        said.append(f"N = {size}: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    return f"Rate of one time step's product (B, N) (N, 4N), GFLOP/s: {'; '.join(said)}."


if __name__ == "__main__":
    main()
