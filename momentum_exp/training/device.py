"""The machine set up for training: device, precision, determinism, threads, memory that is kept."""

import contextlib
import ctypes
import os
import sys
from dataclasses import dataclass

import torch

from momentum_exp.config import TrainerConfig
from momentum_exp.errors import UserError
from momentum_exp.training.distributed import ALONE, Ranks

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
TOP_PAD_BYTES = 64 << 20


@dataclass(frozen=True)
class Machine:
    """Where a run computes, in which arithmetic, and among which processes."""

    device: torch.device
    precision: str
    ranks: Ranks = ALONE

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """bfloat16 for matrix products where the run asks for it, else nothing."""
        enabled = self.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if enabled else contextlib.nullcontext()


def device_type(wanted: str) -> str:
    """`wanted`, with `auto` resolved: cuda where torch sees a device, else cpu."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def set_up_machine(config: TrainerConfig, ranks: Ranks = ALONE) -> Machine:
    """Set torch's process-wide switches as `config` says and return where to compute.

    Each of several processes on a machine takes the GPU of its local rank. Raises UserError where there is none.
    """
    name = device_type(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic)
    # torch fills fresh memory when deterministic; nothing here reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high" if config.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = config.precision == "tf32"
    if name == "cpu":
        keep_heap()
    device = torch.device(name)
    if name == "cuda" and ranks.several:
        if ranks.local_rank >= torch.cuda.device_count():
            raise UserError(
                f"torchrun started process {ranks.local_rank} on a machine with {torch.cuda.device_count()} GPUs. "
                f"Write --nproc-per-node {torch.cuda.device_count()}, or trainer=cpu"
            )
        device = torch.device("cuda", ranks.local_rank)
        torch.cuda.set_device(device)
    return Machine(device, config.precision, ranks)


def keep_heap() -> bool:
    """Let glibc keep freed memory instead of returning it to the kernel; whether it could be done.

    A training step at T = 784 allocates hundreds of megabytes; given back and faulted in again at every step
    they cost up to a third of the time (measured by `make bench`). Other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return all((mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_TOP_PAD, TOP_PAD_BYTES)))
