"""Building the compiled kernel: once, safely, on any machine, and what takes its place where that can't be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from momentum_exp.engines.compiled import native_library

PROGRAM = """
import momentum_exp as mx, torch
print(mx.LSTM(1, 2).engine, mx.LSTM(1, 2)(torch.zeros(3, 1, 1))[0].shape)
"""


def python(program, folder, **environment):
    """`program` in a process of its own whose cache is `folder`."""
    variables = {**os.environ, "MOMENTUM_EXP_CACHE": str(folder), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", program], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outcome(process):
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    return out.split()[0], error


@pytest.fixture
def quick_compiler(tmp_path):
    """A compiler that notes each call and then hands out what is compiled already."""
    library = Path(native_library()._name)
    script = tmp_path / "c++"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo 1 && exit\necho x >> {tmp_path}/calls\nsleep 1\n'
        f'for last; do :; done\ncp {library} "$last"\n'
    )
    script.chmod(0o755)
    return str(script)


def test_two_processes_compile_once_and_a_broken_file_is_made_again(tmp_path, quick_compiler):
    cache, calls = tmp_path / "cache", tmp_path / "calls"
    both = [python(PROGRAM, cache, CXX=quick_compiler) for _ in range(2)]
    results = [outcome(process) for process in both]
    assert [engine for engine, _ in results] == ["native", "native"]
    assert calls.read_text().split() == ["x"]
    assert sum("compiling the native engine" in error for _, error in results) == 1
    (library,) = cache.glob("*.so")
    library.write_bytes(library.read_bytes()[:5000])
    assert outcome(python(PROGRAM, cache, CXX=quick_compiler))[0] == "native"
    assert calls.read_text().split() == ["x", "x"]
    assert sorted(path.suffix for path in cache.iterdir()) == [".lock", ".so"]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"CXX": "/nonexistent"}, "/nonexistent or its result can't be used"),
        ({"CXX": "false"}, "false failed: exit code 1"),
        ({"CXX": "", "PATH": "/nonexistent"}, "there is no C++ compiler"),
        ({"MOMENTUM_EXP_CACHE": "/dev/null/x"}, "can't be used"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_without_a_compiler_another_engine_takes_its_place(tmp_path, environment, reason):
    engine, error = outcome(python(PROGRAM, tmp_path, **environment))
    assert engine == "library"
    assert error.count("engine=native is off") == 1
    assert reason in error
    wanted = PROGRAM.replace("LSTM(1, 2)", "LSTM(1, 2, engine='native')")
    refused = python(wanted, tmp_path, **environment)
    assert "ValueError: engine=native can't run recurrence=lstm" in refused.communicate()[1]


@pytest.mark.parametrize("spoil", [lambda folder: folder.chmod(0o777), lambda folder: os.chown(folder, 12345, -1)])
def test_nothing_is_loaded_from_a_folder_that_others_can_write_to(tmp_path, spoil):
    try:
        spoil(tmp_path)
    except PermissionError:
        pytest.skip("only root gives folders away")
    library = Path(native_library()._name)
    (tmp_path / library.name).write_bytes(library.read_bytes())
    engine, error = outcome(python(PROGRAM, tmp_path))
    assert engine == "library"
    assert "others own" in error


def test_it_can_be_turned_off(tmp_path):
    assert outcome(python(PROGRAM, tmp_path, MOMENTUM_EXP_NATIVE="0")) == ("library", "")


@pytest.mark.skipif(shutil.which("c++") is None, reason="no compiler")
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_it_compiles_for_lesser_processors(tmp_path, capability):
    program = """
import torch, momentum_exp as mx
torch.manual_seed(0)
layers = [mx.AdamLSTM(3, 9, engine=engine, dtype=torch.float64) for engine in ("reference", "native")]
layers[1].load_state_dict(layers[0].state_dict())
x, gradients = torch.randn(20, 7, 3, dtype=torch.float64), []
for layer in layers:
    gradients.append(torch.autograd.grad(layer(x)[0].sin().sum(), list(layer.parameters())))
for a, b in zip(*gradients):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * a.abs().max().item())
print("equal")
"""
    cache = Path(native_library()._name).parent
    assert outcome(python(program, cache, ATEN_CPU_CAPABILITY=capability))[0] == "equal"
