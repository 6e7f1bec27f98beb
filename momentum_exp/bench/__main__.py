"""`python -m momentum_exp.bench`: all contenders in turn, medians, and each one's ratio to torch.nn.LSTM."""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from momentum_exp.bench.contenders import BASELINE, groups, orthogonal_group
from momentum_exp.bench.measure import measure
from momentum_exp.files import write_text_whole
from momentum_exp.runs.environment import environment
from momentum_exp.training.device import Machine


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown; a ratio above 1 means slower than torch.nn.LSTM."""
    lines = [
        "| N | layer | forward ms | x | forward + backward ms | x | peak MB | page faults |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['hidden_size']} | {row['label']} | {row['forward_median_ms']:.0f} | {row['forward_ratio']:.2f} "
            f"| {row['training_median_ms']:.0f} | {row['training_ratio']:.2f} | {row['peak_mb']:.0f} "
            f"| {row['faults']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write `bench.json` and `bench.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for bench.json and bench.md")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256], help="hidden sizes N")
    parser.add_argument("--orthogonal", type=int, nargs="*", default=[170, 512], help="N of the orthogonal cells")
    parser.add_argument("--repeats", type=int, default=7, help="counted iterations of each contender")
    arguments = parser.parse_args()
    everything = [group for size in arguments.sizes for group in groups(size)]
    everything += [orthogonal_group(size) for size in arguments.orthogonal]
    rows = [row for group in everything for row in measure(group, arguments.repeats)]
    facts = environment(Machine(torch.device("cpu"), "float32"), model_parameters=0)
    del facts["command"], facts["parameters"]
    text = (
        f"{facts['device']}, {facts['threads']} threads, torch {facts['packages']['torch']}, float32, T = 784, "
        f"B = 128, D = 1; medians of {arguments.repeats} interleaved iterations, x = median of pairwise ratios to "
        f"{BASELINE} with the heap kept.\n\n{table(rows)}"
    )
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_text_whole(arguments.out / "bench.json", json.dumps({"environment": facts, "rows": rows}, indent=1) + "\n")
    write_text_whole(arguments.out / "bench.md", text)


if __name__ == "__main__":
    main()
