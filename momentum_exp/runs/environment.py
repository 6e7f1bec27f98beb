"""What a run ran on: enough to explain a number that comes out different elsewhere."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from momentum_exp.training.device import Machine

PACKAGES = ("momentum-exp", "torch", "torchvision", "numpy", "hydra-core", "omegaconf", "scikit-learn")

CODE = ("momentum_exp", "conf")
"""What of a checkout a run depends on, beside installed packages."""


def environment(machine: Machine, model_parameters: int) -> dict[str, Any]:
    """Versions, commit, device, threads, command and the model's number of parameters."""
    return {
        "command": [sys.executable, *sys.orig_argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: installed_version(name) for name in PACKAGES},
        **commit(),
        "device": device_name(machine.device),
        "precision": machine.precision,
        "threads": torch.get_num_threads(),
        "processes": machine.ranks.size,
        "cpu_count": os.cpu_count(),
        "parameters": model_parameters,
    }


def numerics(machine: Machine) -> dict[str, Any]:
    """What must be equal for a resumed run to be bit-identical; kept in the checkpoint."""
    return {
        "torch": str(torch.__version__),  # a plain string: a checkpoint holds no other classes
        "device": device_name(machine.device),
        "threads": torch.get_num_threads(),
        "processes": machine.ranks.size,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def device_name(device: torch.device) -> str:
    """`cpu: <model>` or the GPU's name."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {processor_name()}"


def processor_name() -> str:
    """The processor's model where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def installed_version(package: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> dict[str, Any]:
    """The commit of the checkout that this package runs from, and whether code or configuration were changed since.

    Results that a run's own commands write into the checkout are no change. None from a wheel.
    """
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return {"commit": None, "dirty": None}

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(checkout), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    changes = git("status", "--porcelain", "--", *CODE)
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}
