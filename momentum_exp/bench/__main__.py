"""`python -m momentum_exp.bench`: all contenders in turn, medians, and each one's ratio to torch.nn.LSTM."""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from momentum_exp.bench.contenders import BASELINE, Contender, groups
from momentum_exp.files import write_text_whole
from momentum_exp.runs.environment import environment
from momentum_exp.training.device import Machine

REQUESTS = ("forward", "training")


class Worker:
    """A contender's process, asked for one iteration at a time."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        command = [sys.executable, "-m", "momentum_exp.bench.worker", json.dumps(contender.facts())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds: dict[str, list[float]] = {request: [] for request in REQUESTS}

    def ask(self, request: str) -> Any:
        """The worker's answer; RuntimeError if it died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker for {self.contender} ended with code {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(contenders: list[Contender], repeats: int, warm_up: int = 2) -> list[dict[str, Any]]:
    """One row a contender: medians in milliseconds, median of the pairwise ratios to the first one, memory.

    In each round every contender does one iteration, so that a drift of the machine's speed hits all alike; every
    other round goes backwards, so that no contender always follows the same one.
    """
    workers = [Worker(contender) for contender in contenders]
    for request in REQUESTS:
        for turn in range(warm_up + repeats):
            for worker in workers if turn % 2 else reversed(workers):
                seconds = worker.ask(request)
                if turn >= warm_up:
                    worker.seconds[request].append(seconds)
    baseline = workers[0].seconds
    rows = []
    for worker in workers:
        row: dict[str, Any] = {**worker.contender.facts(), "label": worker.contender.label}
        for request in REQUESTS:
            times = worker.seconds[request]
            ratios = [ours / theirs for ours, theirs in zip(times, baseline[request], strict=True)]
            row[f"{request}_ms"] = [1000 * t for t in times]
            row[f"{request}_median_ms"] = 1000 * statistics.median(times)
            row[f"{request}_ratio"] = statistics.median(ratios)
        rows.append(row | worker.ask("memory"))
        worker.close()
    return rows


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
    parser.add_argument("--repeats", type=int, default=7, help="counted iterations of each contender")
    arguments = parser.parse_args()
    rows = [row for size in arguments.sizes for group in groups(size) for row in measure(group, arguments.repeats)]
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
