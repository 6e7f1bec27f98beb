"""Runs on generated data: they resume exactly, keep and say their baselines, and refuse keys that mean nothing."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from momentum_exp.errors import UserError
from momentum_exp.training import loop

TINY = (
    *("data.length=6", "data.steps_per_epoch=4", "trainer.epochs=2", "trainer.log_every=1"),
    *("diagnostics=none", "diagnostics.figures=false"),
)
NAMES = ("copying", "adding")


class Killed(BaseException):
    """Stands for a kill."""


def kept(runs: Any, folder: Path) -> tuple[Any, ...]:
    """What two equal runs share bit for bit."""
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    weights = {name: tensor.numpy().tobytes() for name, tensor in checkpoint["model"].items()}
    return runs.records(folder), weights, checkpoint["rng"].numpy().tobytes()


@pytest.mark.parametrize("cell", ["momentumlstm", "momentumdtriv"])
@pytest.mark.parametrize("data", NAMES)
@pytest.mark.parametrize("moment", [1, 4, 6])
def test_killed_and_resumed_a_run_ends_bit_identical(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, cell: str, moment: int
) -> None:
    overrides = (f"data={data}", f"cell={cell}", *TINY, "trainer.checkpoint_seconds=0")
    undisturbed, save = type(runs)(tmp_path / "undisturbed"), loop.save_checkpoint
    undisturbed.run(*overrides)

    def save_and_die(folder: Path, content: dict[str, Any]) -> None:
        save(folder, content)
        if content["progress"]["step"] == moment:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_checkpoint", save_and_die)
        with pytest.raises(Killed):
            runs.run(*overrides)
    runs.run(*overrides)
    folder = runs.folder(*overrides)
    assert kept(runs, folder) == kept(runs, undisturbed.folder(*overrides))
    assert [r["step"] for r in runs.records(folder) if r["kind"] == "step"] == list(range(1, 9))
    assert [r["epoch"] for r in runs.records(folder) if r["kind"] == "epoch"] == [1, 2]


@pytest.mark.parametrize(
    ("data", "name", "loss"), [("copying", "memoryless", 10 * math.log(8) / 26), ("adding", "always 1", 1 / 6)]
)
def test_the_baseline_is_kept_and_stands_beside_the_loss(
    runs: Any, capsys: pytest.CaptureFixture[str], data: str, name: str, loss: float
) -> None:
    overrides = (f"data={data}", *TINY)
    score = runs.run(*overrides)
    folder = runs.folder(*overrides)
    said = capsys.readouterr().out
    assert runs.status(folder)["baselines"] == {name: pytest.approx(loss)}
    assert f"  baseline  loss {loss:.5f}  ({name}, without training)\n" in said
    epochs = [record for record in runs.records(folder) if record["kind"] == "epoch"]
    assert score == min(record["val_loss"] for record in epochs)
    assert f"  best_val  test loss {min(epochs, key=lambda r: r['val_loss'])['test_loss']:.5f}  " in said
    assert all((f"{split}_accuracy" in epochs[-1]) == (data == "copying") for split in ("train", "val", "test"))


@pytest.mark.parametrize("data", NAMES)
def test_what_makes_another_run(runs: Any, data: str) -> None:
    changes = ("data.length=7", "data.steps_per_epoch=3", "seed=1", *(["data.symbols=9"] if data == "copying" else []))
    folders = {runs.folder(f"data={data}", *TINY, *change) for change in [(), *((change,) for change in changes)]}
    assert len(folders) == 1 + len(changes)
    assert all(folder.name.startswith(f"{data}-momentumlstm-n4-seed") for folder in folders)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("data=copying data.length=0", r"data\.length=0 is not allowed.* 1 <= length.* Write data\.length=100"),
        ("data=adding data.length=1", r"data\.length=1: .*2 or more"),
        ("data=copying data.symbols=1", r"data\.symbols=1 is not allowed.* 2 <= symbols.* Write data\.symbols=8"),
        ("data=copying data.steps_per_epoch=0", r"data\.steps_per_epoch=0 is not .* Write data\.steps_per_epoch=100"),
        ("data=copying data.length=null", r"data\.length=null: .*data=copying"),
        ("data.name=adding", r"data\.length=null: .*data=adding"),
        ("data=copying data.permutation=fixed", r"data\.permutation=fixed has no effect: data set copying"),
        ("data=adding data.symbols=8", r"data\.symbols=8 has no effect: data set adding does not read it"),
        ("data=adding data.validation=3", r"data\.validation=3 has no effect"),
        ("data=digits data.length=8", r"data\.length=8 has no effect: data set digits does not read it"),
        ("data=digits task=regression", r"task\.name=regression needs a number .* write data=adding"),
        ("data=adding task.name=classification", r"task\.name=classification needs labelled sequences"),
    ],
)
def test_a_mistake_is_one_message_and_leaves_nothing(runs: Any, overrides: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        runs.run(*overrides.split())
    assert not runs.root.exists()
