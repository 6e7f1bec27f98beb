"""Contenders timed in turn, each in a process of its own."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch

from momentum_exp.bench.contenders import Contender
from momentum_exp.runs.environment import environment
from momentum_exp.training.device import Machine

REQUESTS = ("forward", "training")
PAUSE = 0.02  # seconds, in which the threads of the process before stop waiting busily and leave the cores


def machine_facts() -> dict[str, Any]:
    """What the measurements ran on: device, threads, versions, commit."""
    facts = environment(Machine(torch.device("cpu"), "float32"), model_parameters=0)
    return {name: fact for name, fact in facts.items() if name not in ("command", "parameters")}


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


def measure(
    contenders: Sequence[Contender], repeats: int, warm_up: int = 2, requests: Sequence[str] = REQUESTS
) -> list[dict[str, Any]]:
    """One row a contender: medians in milliseconds, median of the pairwise ratios to the first one, memory and the
    rate of its process in a matrix product.

    In each round every contender does one iteration, so that a drift of the machine's speed hits all alike; every
    other round goes backwards, so that no contender always follows the same one.
    """
    workers = [Worker(contender) for contender in contenders]
    for request in requests:
        for turn in range(warm_up + repeats):
            for worker in workers if turn % 2 else reversed(workers):
                time.sleep(PAUSE)
                seconds = worker.ask(request)
                if turn >= warm_up:
                    worker.seconds[request].append(seconds)
    baseline = workers[0].seconds
    rows = []
    for worker in workers:
        row: dict[str, Any] = {**worker.contender.facts(), "label": worker.contender.label}
        for request in requests:
            times = worker.seconds[request]
            ratios = [ours / theirs for ours, theirs in zip(times, baseline[request], strict=True)]
            row[f"{request}_ms"] = [1000 * t for t in times]
            row[f"{request}_median_ms"] = 1000 * statistics.median(times)
            row[f"{request}_ratio"] = statistics.median(ratios)
        rows.append(row | worker.ask("memory") | {"product_gflops": worker.ask("product")})
        worker.close()
    return rows
