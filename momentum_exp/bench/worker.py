"""A contender's own process: does one iteration at each request, so that contenders take turns.

Started as `python -m momentum_exp.bench.worker JSON`. Requests are lines on standard input: `forward` and
`training` (forward and backward) answer the seconds taken, `memory` the peak resident megabytes and the page
faults of the last iteration, as one line of JSON.
"""

import json
import resource
import sys
import time

import torch

from momentum_exp.bench.contenders import Contender
from momentum_exp.cells import after_step
from momentum_exp.training.device import keep_heap


def main() -> None:
    """Answer requests until the input ends."""
    contender = Contender(**json.loads(sys.argv[1]))
    if contender.keeps_heap:
        keep_heap()
    layer, x_TBD = contender.build(), contender.input()
    before_mb, faults = peak_mb(), 0

    for request in map(str.strip, sys.stdin):
        if request == "memory":
            answer: object = {"peak_mb": peak_mb() - before_mb, "faults": faults}
        else:
            faults_before, began = minor_faults(), time.perf_counter()
            with torch.set_grad_enabled(request == "training"):
                y_TBH, _ = layer(x_TBD)
            if request == "training":
                layer.zero_grad(set_to_none=True)
                y_TBH[-1].square().mean().backward()
                after_step(layer)
            answer, faults = time.perf_counter() - began, minor_faults() - faults_before
            del y_TBH
        print(json.dumps(answer), flush=True)


def peak_mb() -> float:
    """The largest resident memory of this process so far, in megabytes."""
    kilobytes_or_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes_or_bytes / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def minor_faults() -> int:
    """Page faults so far that needed no disk: memory that was given back and taken again."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    main()
