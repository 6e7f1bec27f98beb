"""Every mistake in a command gets one message that says what to write, exit code 2, and leaves no trace."""

import gzip
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from command_mistakes import MISTAKES

from momentum_exp import __main__ as entry
from momentum_exp import command_line as command_line_module
from momentum_exp.data.mnist import MD5

TINY = ("cell.hidden_size=4", "trainer.max_steps=1", "data.limit=8", "diagnostics=none", "trainer.threads=1")
NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")


class Said(NamedTuple):
    code: int
    out: str
    errors: str


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Said]]:
    """`command("cell=lstm", ..)` is `momentum-exp cell=lstm ..` in an empty folder, inside this process."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    handler = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["momentum-exp", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            entry.main()
        out, errors = capfd.readouterr()
        return Said(int(end.value.code or 0), out, errors)

    yield call
    signal.signal(signal.SIGTERM, handler)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_message(command: Callable[..., Said], mistake: str) -> None:
    overrides, fragments = MISTAKES[mistake]
    code, out, errors = command(*overrides)
    assert code == 2
    assert out == ""
    assert errors.startswith("momentum_exp: error: ")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    for fragment in fragments:
        assert fragment in errors


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("override", ["trainer=gpu", "trainer.device=cuda", "trainer.precision=tf32"])
def test_no_gpu(command: Callable[..., Said], override: str) -> None:
    code, _, errors = command(override)
    assert (code, errors.count("\n")) == (2, 1)
    assert "CUDA" in errors
    assert "Write trainer" in errors


@pytest.mark.parametrize(
    ("override", "fragment"), [("cell.hiden_size=8", "cell.hidden_size"), ("cell.mu=1.5", "0 <= mu < 1")]
)
def test_so_it_is_in_a_process_of_its_own(command_line: Any, tmp_path: Path, override: str, fragment: str) -> None:
    done = command_line(override)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert override in done.stderr
    assert fragment in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_missing_mnist_without_a_network_names_the_ways_forward(command_line: Any, tmp_path: Path) -> None:
    done = command_line("data=mnist", *TINY, "paths.data=data", **NO_NETWORK)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("momentum_exp: error: ")]
    for way in ("MNIST is not in data", "paths.data=FOLDER", "MOMENTUM_EXP_DATA", "data=pdigits"):
        assert way in said
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_named_with_both_checksums(command: Callable[..., Said], tmp_path: Path) -> None:
    for name in MD5:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(os.urandom(1000))[:500])
    code, out, errors = command("data=pmnist", *TINY, f"paths.data={tmp_path}")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    name, md5 = next(iter(MD5.items()))
    assert f"{tmp_path}/{name}.gz is damaged" in errors
    assert md5 in errors


def test_a_sweep_drops_what_has_no_effect_once_and_equal_runs_are_one(command_line: Any, tmp_path: Path) -> None:
    done = command_line("-m", *TINY, "cell=lstm,momentumlstm", "cell.mu=0.3,0.5,0.6")
    assert done.returncode == 0
    (said,) = done.stderr.splitlines()
    assert said.startswith("momentum_exp: warning: cell.mu has no effect and is dropped: ")
    folders = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "runs").iterdir())
    assert folders == ["digits-lstm-n4-seed0"] + 3 * ["digits-momentumlstm-n4-seed0"]
    assert done.stdout.count("finished already") == 2
    header, *rows, counts = done.stdout.splitlines()[-6:]
    assert header.split() == ["state", "selection", "metric", "seconds", "job", "run"]
    assert {row.split("runs/")[1].split()[0] for row in rows} == {path.name for path in (tmp_path / "runs").iterdir()}
    assert counts == "jobs 6, runs 4: 4 finished"
    (reused,) = [row for row in rows if "(and 2 equal)" in row]
    assert "cell=lstm cell.mu=0.3 (and 2 equal)" in reused
    assert "digits-lstm-n4-seed0" in reused
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_job_that_fails_hides_no_other(command_line: Any, tmp_path: Path) -> None:
    done = command_line("-m", *TINY, "trainer.max_steps=3", "cell.mu=1.5,0.6", "cell.s=0.6,1e38")
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert len(said) == 3
    assert [line for line in said if "cell.mu=1.5 is not allowed" in line] == said[:2]
    assert "diverged at step 1" in said[2]
    assert len(list((tmp_path / "runs").iterdir())) == 2
    *_, finished, mistaken, mistaken_too, diverged, counts = done.stdout.splitlines()
    assert finished.startswith("finished  ")
    assert "best validation accuracy" in finished
    assert mistaken.startswith("failed ")
    assert "cell.mu=1.5 cell.s=0.6" in mistaken
    assert "cell.mu=1.5 cell.s=1e+38" in mistaken_too
    assert diverged.startswith("diverged ")
    assert counts == "jobs 4, runs 4: 1 finished, 2 failed, 1 diverged"


def test_a_launcher_of_an_extra_names_the_extra(command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line_module, "EXTRAS", {"hydra/launcher=absent": "joblib"})
    code, out, errors = command("-m", "hydra/launcher=absent", "seed=0,1")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert (
        "hydra/launcher=absent comes with an extra that is not installed: pip install 'momentum-exp[joblib]'" in errors
    )


def test_a_yaml_file_that_cannot_be_read_is_named(command_line: Any, tmp_path: Path) -> None:
    (tmp_path / "mine" / "cell").mkdir(parents=True)
    (tmp_path / "mine" / "cell" / "mycell.yaml").write_text("recurrence: lstm\nmu: [0.9\n")
    done = command_line("cell=mycell", "--config-dir", "mine")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "mycell.yaml" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
