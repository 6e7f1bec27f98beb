"""`python -m momentum_exp.runs` and `mx.load_run`: what runs there are, whatever is in their folders."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import momentum_exp as mx
from momentum_exp.data import load_dataset
from momentum_exp.errors import UserError
from momentum_exp.runs import __main__ as entry
from momentum_exp.runs.claim import FolderClaim
from momentum_exp.training.device import Machine
from momentum_exp.training.loop import evaluate

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """`ask("status")`: exit code, output and error of the command in the test's own process."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["runs", *arguments, "--runs", str(runs.root)])
        try:
            entry.main()
        except SystemExit as ended:
            return int(ended.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return call


@pytest.fixture
def pair(runs: Any) -> list[Path]:
    """Two finished runs that differ in mu."""
    for mu in ("0.3", "0.6"):
        runs.run(*runs.SHORT, f"cell.mu={mu}")
    return [runs.folder(*runs.SHORT, f"cell.mu={mu}") for mu in ("0.3", "0.6")]


def test_status_says_how_far_each_run_is(runs: Any, ask: Ask, half_done: Path) -> None:
    code, out, _ = ask("status")
    header, run, counts = out.splitlines()
    assert (code, header.split()) == (0, ["state", "steps", "time", "left", "run", "error"])
    assert run.split()[:4] == ["stale", "2/5", "(40%)", "0:00:00"]  # killed before it said that step 3 is saved
    assert counts == "runs 1: 1 stale"
    with FolderClaim(half_done).held():
        assert ask("status")[1].splitlines()[-1] == "runs 1: 1 running"
    status = runs.status(half_done)
    (half_done / "status.json").write_text(json.dumps(status | {"state": "failed", "error": "ours: this\nand more"}))
    assert ask("status")[1].splitlines()[1].endswith("ours: this")
    runs.run(*runs.SHORT, "retry=true")
    _, run, counts = ask("status")[1].splitlines()
    assert run.split()[:4] == ["done", "5/5", "(100%)", "--"]
    assert counts == "runs 1: 1 done"


def test_list_selects_and_writes_what_a_spreadsheet_reads(ask: Ask, pair: list[Path]) -> None:
    assert len(ask("list")[1].splitlines()) == 3
    for condition, found in {
        "cell.mu=0.30": [pair[0]],
        "cell=momentumlstm": sorted(pair),
        "cell=lstm": [],
        "state=done": sorted(pair),
        "cell.learn=null": sorted(pair),
        f"hash={pair[1].name[-10:]}": [pair[1]],
    }.items():
        lines = ask("list", "--where", condition, "--where", "seed=0")[1].splitlines()[1:]
        assert [line.split()[-1] for line in lines] == list(map(str, found)), condition
    assert ask("list", "--where", "seed=77")[1].endswith("has seed=77\n")
    (row,) = csv.DictReader(io.StringIO(ask("list", "--where", "cell.mu=0.6", "--csv")[1]))
    summary = json.loads((pair[1] / "status.json").read_text())["summary"]
    assert float(row["best_val"]) == summary["best_val"]["test_accuracy"]
    assert (row["metric"], row["state"], row["path"]) == ("accuracy", "done", str(pair[1]))


def test_show_and_compare(ask: Ask, pair: list[Path]) -> None:
    out = ask("show", pair[0].name)[1]
    summary = json.loads((pair[0] / "status.json").read_text())["summary"]
    for text in (
        "  state        done, step 5 of 5 (100%)",
        "  cell.mu=0.3\n",
        f"  best_test  test {summary['best_test']['test_accuracy']:.2%}",
        "cell.hidden_size=4",
        f"torch {torch.__version__}".partition("+")[0],
        "commit",
    ):
        assert text in out
    assert "cell.s=" in out  # the schema's default is null
    assert "cell.num_layers" not in out
    assert "problems" not in out
    header, *rows = ask("compare", *map(str, pair))[1].splitlines()
    assert header.split() == [folder.name for folder in pair]
    assert [row.split() for row in rows if row.startswith(("cell", "data", "trainer"))] == [["cell.mu", "0.3", "0.6"]]
    assert [row.split(":")[0] for row in rows if ": test" in row] == ["final", "best_val", "best_test"]


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (("show", "digts-momentumlstm"), ("neither a run's folder nor the name", "Nearest there: digits-momentumlstm")),
        (("show", "digits-momentumlstm-n4-seed0"), ("is the name of 2 runs",)),
        (("compare", "digits-momentumlstm-n4-seed0"), ("at least two runs",)),
        (("list", "--where", "cell.nu=1"), ("no key 'cell.nu'", "Nearest: cell.mu")),
        (("list", "--where", "mu=1"), ("no key 'mu'", "Nearest: cell.mu")),
        (("list", "--where", "state=finished"), ("states are done, running", "Write --where state=done")),
        (("list", "--where", "cell"), ("write --where key=value",)),
        (("show", "."), (". is no run's folder",)),
        (("status", "--runs", "nowhere"), ("--runs nowhere: there is no such folder",)),
    ],
)
def test_a_mistake_gets_one_message(
    ask: Ask, pair: list[Path], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], fragments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(pair[0].parent)
    if "--runs" in arguments:
        monkeypatch.setattr(sys, "argv", ["runs", *arguments])
        with pytest.raises(UserError, match="no such folder"):
            entry.answer(entry.parser().parse_args())
        return
    code, out, errors = ask(*arguments)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    for fragment in fragments:
        assert fragment in errors


def test_half_deleted_and_damaged_folders_are_shown_as_they_are(ask: Ask, pair: list[Path]) -> None:
    for name in ("metrics.jsonl", "identity.json", ".hydra/config.yaml", ".hydra/overrides.yaml", "environment.json"):
        (pair[0] / name).unlink()
        for command in (
            ("status",),
            ("list",),
            ("list", "--csv"),
            ("show", str(pair[0])),
            ("compare", *map(str, pair)),
        ):
            assert ask(*command)[0] == 0
        if name == "metrics.jsonl":  # the first to go
            assert "half deleted: metrics.jsonl missing" in ask("show", str(pair[0]))[1]
        else:
            assert f"{name} is missing" in ask("show", str(pair[0]))[1]
    assert "half deleted: identity.json, .hydra/config.yaml, metrics.jsonl missing" in ask("status")[1]
    for name in ("status.json", "identity.json", "environment.json", "metrics.jsonl", ".hydra/config.yaml"):
        for content in (b"\xff\xfe", b"{", b"3"):
            (pair[1] / name).write_bytes(content)
            for command in (("status",), ("list",), ("show", str(pair[1])), ("compare", *map(str, pair))):
                assert ask(*command)[0] == 0
    with pytest.raises(UserError):
        mx.load_run(pair[0])


def test_a_run_of_another_version_is_said_to_be_one(ask: Ask, pair: list[Path]) -> None:
    file = pair[0] / ".hydra" / "config.yaml"
    text = file.read_text()
    file.write_text(text.replace("  mu: 0.3\n", "  mju: 0.3\n"))
    out = ask("show", str(pair[0]))[1]
    assert "made by another version: the present one has no cell.mju" in out
    assert "made by another version, before there was cell.mu" in out
    with pytest.raises(UserError, match=r"of another version of momentum_exp: .*mju"):
        mx.load_run(pair[0])
    assert len(ask("list", "--where", "cell.mju=0.3")[1].splitlines()) == 2
    rows = [line.split() for line in ask("compare", *map(str, pair))[1].splitlines()]
    assert ["cell.mju", "0.3", "--"] in rows


TASKS = {
    "classification": ("data=pdigits", "cell=srdtriv"),
    "regression": ("data=adding", "data.length=10", "cell.num_layers=2"),
    "sequence_labelling": ("data=copying", "data.length=5", "cell=gru"),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_loaded_run_measures_what_its_records_say(runs: Any, task: str) -> None:
    overrides = (*TASKS[task], "trainer.max_steps=3", "diagnostics=none")
    runs.run(*overrides)
    folder = runs.folder(*overrides)
    loaded = mx.load_run(folder.name.rpartition("-")[0], runs.root)
    assert not loaded.model.training
    assert loaded.path == folder
    assert loaded.weights == "final weights, step 3"
    assert loaded.config.task.name == task
    assert loaded.metrics == runs.status(folder)["summary"]
    config = loaded.config
    dataset = load_dataset(config.data, Path(config.paths.data), config.seed)
    batches = dataset.evaluation("test", config.trainer.batch_size)
    assert batches is not None
    measured = evaluate(loaded.model, batches, Machine(torch.device("cpu"), "float32"), "test_")
    assert measured["test_loss"] == pytest.approx(loaded.metrics["final"]["test_loss"], rel=1e-5)


def test_a_run_that_goes_on_is_loaded_from_its_last_checkpoint(half_done: Path) -> None:
    loaded = mx.load_run(half_done)
    assert loaded.weights == "weights of an unfinished run, step 3"
    assert loaded.metrics == {}
    assert loaded.record.steps
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (half_done / name).unlink()
    with pytest.raises(UserError, match="its weights can't be read"):
        mx.load_run(half_done)


def test_who_wants_the_cells_alone_imports_no_more() -> None:
    code = "import sys, momentum_exp; print([m for m in ('hydra', 'omegaconf', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
