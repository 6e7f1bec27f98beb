"""native.cpp, compiled on first use for this machine's instruction set and kept in the user's cache folder."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

SOURCE = Path(__file__).with_name("native.cpp")
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi")
OPENMP = () if sys.platform == "darwin" else ("-fopenmp",)  # Apple's compiler has none: one thread there
# By what torch says of the processor, so that a cache folder may be shared by unlike machines.
INSTRUCTIONS = {
    "AVX512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"),
    "AVX2": ("-mavx2", "-mfma"),
}
DIGEST_BYTES = hashlib.sha256().digest_size


class Call(ctypes.Structure):
    """The arguments of one call: `struct Call` of native.cpp, field by field."""

    INTEGERS = ("steps", "batch", "inputs", "units", "threads", "recurrence", "normalised", "eps_paper")
    NUMBERS = ("mu", "s", "beta", "low", "high")
    ARRAYS = (
        *("alive_T", "x_TBD", "w_ih", "w_hh", "b_G", "b_modrelu", "h0", "c0", "v0", "m0", "y0", "decay_TB", "mu_TB"),
        *("y_TBH", "hT", "cT", "vT", "mT", "yT", "gates", "cells", "checkpoints"),
        *("dy_TBH", "dhT", "dcT", "dvT", "dmT", "dyT", "dx", "dw_ih", "dw_hh", "db_G", "db_modrelu"),
        *("dh0", "dc0", "dv0", "dm0", "dy0", "norms_h_TB", "norms_c_TB", "saturated"),
    )
    _fields_ = (
        *((name, ctypes.c_int64) for name in INTEGERS),
        *((name, ctypes.c_double) for name in NUMBERS),
        *((name, ctypes.c_void_p) for name in ARRAYS),
    )


def vectorised() -> bool:
    """Whether the compiled code has wide enough vectors here to be the fastest engine."""
    return torch.backends.cpu.get_cpu_capability() in INSTRUCTIONS or platform.machine() in ("aarch64", "arm64")


class Unavailable(Exception):
    """Why there is no compiled code."""


@cache
def native_library() -> ctypes.CDLL:
    """The compiled library. Raises `Unavailable` with the reason; compiles it if this is the first use."""
    if os.environ.get("MOMENTUM_EXP_NATIVE") == "0":
        raise Unavailable("MOMENTUM_EXP_NATIVE=0 turns it off")
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        raise Unavailable("there is no C++ compiler (c++, g++, clang++, or what CXX names)")
    command = [*compiler.split(), *FLAGS, *OPENMP, *INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), ())]
    try:
        version = subprocess.run([*compiler.split(), "--version"], capture_output=True, check=True).stdout
        key = hashlib.sha256(b"\0".join([SOURCE.read_bytes(), version, " ".join(command).encode()])).hexdigest()[:16]
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o022:  # what is loaded from it is executed
            raise Unavailable(f"others own {folder} or can write to it: chmod go-w it, or set MOMENTUM_EXP_CACHE")
        path = folder / f"native-{platform.machine()}-{key}.so"
        with FileLock(f"{path}.lock"):
            if not whole(path):
                compile_to(path, command)
        return load(path)
    except subprocess.CalledProcessError as error:
        lines = [line for line in (error.stderr or b"").decode(errors="replace").splitlines() if "error" in line]
        raise Unavailable(f"{compiler} failed: {lines[0] if lines else f'exit code {error.returncode}'}") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        raise Unavailable(f"{compiler} or its result can't be used: {error}") from error


@cache
def reason_unavailable() -> str | None:
    """Why there is no compiled code, said once as a warning unless the user turned it off; None if there is."""
    try:
        native_library()
    except Unavailable as reason:
        if os.environ.get("MOMENTUM_EXP_NATIVE") != "0":
            warnings.warn(
                f"engine=native is off, slower engines take its place: {reason}; MOMENTUM_EXP_NATIVE=0 hides this",
                RuntimeWarning,
                stacklevel=2,
            )
        return str(reason)
    return None


def cache_folder() -> Path:
    """Where compiled code is kept: MOMENTUM_EXP_CACHE, or momentum_exp in the user's cache folder."""
    given = os.environ.get("MOMENTUM_EXP_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "momentum_exp"


def whole(path: Path) -> bool:
    """Whether the file is as `compile_to` left it: it ends with the digest of what comes before."""
    content = path.read_bytes() if path.exists() else b""
    return hashlib.sha256(content[:-DIGEST_BYTES]).digest() == content[-DIGEST_BYTES:]


def compile_to(path: Path, command: list[str]) -> None:
    """Compile into a temporary file beside `path`, add its digest (loaders ignore it), rename it to `path`."""
    print("momentum_exp: compiling the native engine, once (about 20 s)", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        product = Path(folder) / path.name
        subprocess.run([*command, str(SOURCE), "-o", str(product)], capture_output=True, check=True)
        product.write_bytes(product.read_bytes() + hashlib.sha256(product.read_bytes()).digest())
        product.chmod(0o700)
        product.replace(path)


def load(path: Path) -> ctypes.CDLL:
    """The library with its functions' types. Raises OSError if it can't be loaded."""
    library = ctypes.CDLL(str(path))
    library.call_bytes.restype = ctypes.c_int64
    assert library.call_bytes() == ctypes.sizeof(Call)
    for number in ("float", "double"):
        for name in ("forward", "backward"):
            function = getattr(library, f"{name}_{number}")
            function.argtypes, function.restype = [ctypes.POINTER(Call)], ctypes.c_bool
        getattr(library, f"sizes_{number}").argtypes = [ctypes.POINTER(Call), ctypes.c_void_p]
        getattr(library, f"map_{number}").argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_bool]
    return library
