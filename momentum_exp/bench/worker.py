"""A contender's own process: does one iteration at each request, so that contenders take turns.

Started as `python -m momentum_exp.bench.worker JSON`. Requests are lines on standard input: `forward` and
`training` (forward and backward) answer the seconds taken, `memory` the peak resident megabytes and the page
faults of the last iteration, `product` the billions of floating point operations a second of one time step's
product with the recurrent weight; as one line of JSON.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

from momentum_exp.bench.contenders import Contender
from momentum_exp.cells import after_step
from momentum_exp.training.device import keep_heap


def main() -> None:
    """Answer requests until the input ends."""
    contender = Contender(**json.loads(sys.argv[1]))
    if contender.keeps_heap:
        keep_heap()
    if contender.threads is not None:
        torch.set_num_threads(contender.threads)
    layer: Any = contender.build()
    x_TBD = contender.input()
    before_mb, faults = peak_mb(), 0

    for request in map(str.strip, sys.stdin):
        if request == "memory":
            answer: object = {"peak_mb": peak_mb() - before_mb, "faults": faults}
        elif request == "product":
            answer = product_rate(contender)
        else:
            faults_before, began = minor_faults(), time.perf_counter()
            with torch.set_grad_enabled(request == "training"), layer.trace() if contender.norms else nullcontext():
                y_TBH, _ = layer(x_TBD)
                if request == "training":
                    layer.zero_grad(set_to_none=True)
                    y_TBH[-1].square().mean().backward()
                    after_step(layer)
            answer, faults = time.perf_counter() - began, minor_faults() - faults_before
            del y_TBH
        print(json.dumps(answer), flush=True)


def product_rate(contender: Contender) -> dict[str, float]:
    """GFLOP/s of (B, N) (N, 4N), by torch.mm (MKL, OpenBLAS, ..) and, where torch has it, by oneDNN's kernel."""
    rows, size = contender.batch_size, contender.hidden_size
    a_BN, b_GN = torch.randn(rows, size), torch.randn(4 * size, size)
    products: dict[str, Callable[[], Any]] = {"torch.mm": lambda: torch.mm(a_BN, b_GN.T)}
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        to_mkldnn: Any = torch.Tensor.to_mkldnn
        laid_out = to_mkldnn(a_BN), to_mkldnn(b_GN)
        products["oneDNN"] = lambda: torch.ops.aten.mkldnn_linear(*laid_out)
    rates = {}
    for name, product in products.items():
        product()
        began = time.perf_counter()
        for _ in range(contender.steps):
            product()
        rates[name] = 2 * rows * size * 4 * size * contender.steps / (time.perf_counter() - began) / 1e9
    return rates


def peak_mb() -> float:
    """The largest resident memory of this process so far, in megabytes."""
    kilobytes_or_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes_or_bytes / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def minor_faults() -> int:
    """Page faults so far that needed no disk: memory that was given back and taken again."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    main()
