"""`scripts/summarize.py` as a user calls it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

MakeRun = Callable[..., Path]
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def call(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_summarize_writes_table_and_figures_and_says_where(make_run: MakeRun) -> None:
    gradients = {"step": np.array([1, 2]), "h_l0": np.full((2, 3), 0.1)}
    root = make_run("lstm", gradients=gradients).parent
    make_run("momentumlstm", mu=0.6, gradients=gradients)
    make_run("lstm", data="pmnist")
    make_run("lstm", data="adding", task="regression", baselines={"always 1": 1 / 6}, gradients=gradients)
    for out in (["--out", root / "elsewhere"], []):  # twice: its own files are no runs
        done = call("summarize.py", root, *out)
        assert done.returncode == 0, done.stderr
    names = ["table.md"] + [f"pdigits/{n}.png" for n in ("convergence", "gradient_heat_map", "gradient_lines")]
    for name in [*names, "pmnist/convergence.png", "adding/convergence.png", "adding/gradient_lines.png"]:
        assert f"  {root / 'summary' / name}\n" in done.stdout
        assert (root / "summary" / name).stat().st_size > 0
    text = (root / "summary" / "table.md").read_text()
    assert text in done.stdout
    assert "Test mean squared error at one epoch" in text
    assert text == (root / "elsewhere" / "table.md").read_text()


def test_summarize_says_what_is_not_in_its_means(make_run: MakeRun) -> None:
    root = make_run(seed=0).parent
    make_run(seed=1, state="diverged")
    make_run(seed=0, root=root / "older")
    assert "\nNot counted: copies of runs that are counted (1), diverged (1).\n" in call("summarize.py", root).stdout


def test_a_folder_without_runs_is_a_clear_error(tmp_path: Path) -> None:
    done = call("summarize.py", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("summarize.py: error: no finished run under")
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_schema_is_never_averaged(make_run: MakeRun) -> None:
    root = make_run(seed=0).parent
    config = make_run(seed=1) / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("hidden_size", "oldkey: 1\n  hidden_size"))
    done = call("summarize.py", root)
    assert (done.returncode, done.stdout) == (2, "")
    assert "of another version of momentum_exp: Key 'oldkey'" in done.stderr
    assert not (root / "summary").exists()
