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


MISTAKES: dict[str, tuple[list[str], list[str]]] = {
    "typo": (
        ["cell.hiden_size=8"],
        ["cell.hiden_size=8: there is no key", "Did you mean cell.hidden_size?", "1 <= hidden_size", "Write cell.hid"],
    ),
    "typo of a group": (
        ["optimiser=adam"],
        ["optimiser=adam: there is no key 'optimiser'", "Did you mean optimizer=adam?"],
    ),
    "key without its group": (["lr=0.1"], ["lr=0.1: there is no key 'lr'", "Did you mean optimizer.lr?"]),
    "new key": (["+new=1"], ["there is no key 'new'", "Known here: cell, data"]),
    "new key in a group": (["+cell.nu=1"], ["there is no key 'cell.nu'", "Did you mean cell.mu?", "Write cell.mu=0.6"]),
    "removed key": (["~cell.mu"], ["~cell.mu: ", "Write cell.mu=0.6"]),
    "word for a number": (["cell.hidden_size=many"], ["cell.hidden_size=many: ", "a whole number", "=256"]),
    "fraction for a whole number": (["trainer.epochs=1.5"], ["trainer.epochs=1.5: ", "a whole number", "epochs=150"]),
    "word for a switch": (["cell.bidirectional=maybe"], ["cell.bidirectional=maybe: ", "true or false", "=false"]),
    "null": (["optimizer.lr=null"], ["optimizer.lr=null: ", "a finite number, 0 < lr", "Write optimizer.lr=0.001"]),
    "list for a number": (["cell.mu=[1]"], ["cell.mu=[1]: ", "0 <= mu < 1", "Write cell.mu=0.6"]),
    "number for a list": (["tracking=wandb", "tracking.tags=3"], ["tracking.tags=3: ", "a list", "tags=[trial]"]),
    "too large": (["cell.mu=1.0"], ["cell.mu=1.0 is not allowed", "0 <= mu < 1", "Write cell.mu=0.6"]),
    "too small": (["trainer.batch_size=0"], ["trainer.batch_size=0 is not", "1 <= batch_size", "batch_size=128"]),
    "negative": (["seed=-1"], ["seed=-1 is not allowed", "0 <= seed <= 4294967295", "Write seed=0"]),
    "NaN": (["cell.mu=nan"], ["cell.mu=nan is not allowed", "a finite number", "0 <= mu < 1"]),
    "NaN where there is no range": (["cell.forget_bias=nan"], ["cell.forget_bias=nan is not", "a finite number"]),
    "infinite": (["cell.s=inf"], ["cell.s=inf is not allowed", "a finite number", "0 < s", "Write cell.s=0.6"]),
    "not one of the words": (["trainer.precision=half"], ["trainer.precision=half is not", "float32, tf32, bf16"]),
    "unknown cell": (["cell=lstn"], ["cell=lstn: there is no such cell", "momentumlstm", "Write cell=lstm"]),
    "unknown data": (["data=cifar"], ["data=cifar: there is no such data", "pmnist", "Write data="]),
    "unknown launcher": (
        ["-m", "hydra/launcher=jobli", "seed=0,1"],
        ["hydra/launcher=jobli: there is no such hydra/launcher", "Write hydra/launcher=joblib"],
    ),
    "unknown experiment": (["experiment=x"], ["experiment=x: there is no such experiment", "pmnist_lstm_n256"]),
    "unknown recurrence": (["cell.recurrence=x"], ["cell.recurrence=x: known are ", "Write cell.recurrence=lstm"]),
    "unknown dynamics": (["cell.dynamics=x"], ["cell.dynamics=x: known are adam", "Write cell.dynamics=momentum"]),
    "unknown data set": (
        ["data.name=x"],
        ["data.name=x: known are adding, copying, digits", "data.name=mnist"],
    ),
    "a pair that does not go together": (
        ["cell=srlstm_released", "cell.dynamics=momentum"],
        ["cell.recurrence=srlstm_released", "dynamics=momentum", "write dynamics=identity"],
    ),
    "no effect for the cell": (["cell=lstm", "cell.mu=0.3"], ["cell.mu=0.3 has no effect", "identity", "Leave it out"]),
    "an option of another recurrence": (
        ["cell=lstm", "cell.rebase=1"],
        ["cell.rebase=1 has no effect", "lstm with iden"],
    ),
    "no constrained weight": (
        ["cell=lstm", "optimizer.lr_orthogonal=0.0002"],
        ["optimizer.lr_orthogonal=0.0002 has no effect", "recurrence lstm constrains no weight", "Leave it out"],
    ),
    "no algorithm for what is not there": (
        ["cell=momentumrnn", "optimizer.orthogonal=sgd"],
        ["optimizer.orthogonal=sgd has no effect", "recurrence rnn constrains no weight"],
    ),
    "learning what there is not": (
        ["cell=momentumlstm", "cell.learn=[mu,x]"],
        ["cell.learn=x: momentum dynamics can learn mu, s", "Write cell.learn=[mu,s]"],
    ),
    "learning what belongs to another dynamics": (
        ["cell=srlstm", "cell.learn=[s,beta]"],
        ["cell.learn=beta: nesterov dynamics can learn s"],
    ),
    "nothing to learn": (["cell=lstm", "cell.learn=[mu]"], ["cell.learn=mu: identity dynamics can learn nothing"]),
    "no list to learn": (["cell.learn=mu"], ["cell.learn=mu: ", "a list", "Write cell.learn=[mu,s]"]),
    "learning nothing per gate": (
        ["cell=momentumlstm", "cell.learn_per=gate"],
        ["cell.learn_per=gate has no effect", "nothing is learned", "cell.learn=[mu,s]", "Leave it out"],
    ),
    "learning by an engine that can't": (
        ["cell=momentumlstm", "cell.learn=[mu]", "cell.engine=library"],
        ["cell.engine=library can't", "a learned mu, s or beta", "engine=auto"],
    ),
    "no effect with one layer": (["cell.dropout=0.5"], ["cell.dropout=0.5 has no effect", "cell.num_layers is 1"]),
    "no effect for the optimizer": (["optimizer.beta1=0.8"], ["optimizer.beta1=0.8 has no effect", "rmsprop", "alpha"]),
    "no effect without W&B": (["tracking.mode=online"], ["tracking.mode=online has no effect", "tracking=wandb"]),
    "no effect without diagnostics": (
        ["diagnostics=none", "diagnostics.every=7"],
        ["diagnostics.every=7 has no effect", "every diagnostic is off"],
    ),
    "Nesterov without momentum": (
        ["optimizer=sgd", "optimizer.nesterov=true"],
        ["optimizer.nesterov=true needs", "optimizer.momentum=0.9"],
    ),
    "an engine that can't": (
        ["cell=srlstm_released", "cell.engine=library"],
        ["cell.engine=library can't", "srlstm_released", "no fused kernel", "engine=auto"],
    ),
    "pixel order": (["data.permutation=random"], ["data.permutation=random: ", "released", "bit_reversal", "write"]),
    "fraction as a pixel order": (["data.permutation=1.5"], ["data.permutation=1.5: ", "Write data.permutation=fixed"]),
    "too many held out": (["data.validation=99999"], ["data.validation=99999: ", "0 (none) to", "write"]),
    "no value": (["seed"], ["'seed'", "missing EQUAL", "group=option or key=value"]),
    "open bracket": (["tracking.tags=[a"], ["tracking.tags=[a", "group=option or key=value"]),
    "no folder for runs": (
        ["paths.runs=/dev/null/runs"],
        ["the run folder /dev/null", "paths.runs=FOLDER"],
    ),
    "no folder for a sweep": (
        ["-m", "paths.runs=/dev/null/runs", "seed=0,1"],
        ["cannot write /dev/null", "paths.runs=FOLDER"],
    ),
    "sweep over words": (["-m", "cell.hidden_size=4,many"], ["many", "a whole number", "cell.hidden_size=256"]),
    "sweep over names": (["-m", "cell=lstm,lstn"], ["cell=lstn: there is no such cell", "momentumlstm"]),
}


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
