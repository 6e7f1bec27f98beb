"""Files of a run that are damaged: said, and the run goes on from what is left, or names the way out."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from momentum_exp.errors import UserError
from momentum_exp.runs.run import RunFailed


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    """One bit of the weights, which torch.load would not notice."""
    content = bytearray(path.read_bytes())
    weights = torch.load(path, weights_only=True)["model"]["readout.weight"].numpy().tobytes()
    content[content.index(weights)] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb()))


def bomb_of_torch(path: Path) -> None:
    torch.save({"model": Bomb()}, path)


@pytest.mark.parametrize("damage", [truncated, flipped, emptied, bomb, bomb_of_torch])
@pytest.mark.parametrize("both", [False, True], ids=["current", "both"])
def test_a_corrupt_checkpoint_is_said_and_the_one_before_used(
    runs: Any,
    half_done: Path,
    uninterrupted: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    both: bool,
) -> None:
    monkeypatch.chdir(half_done.parent)
    recorded = (half_done / "metrics.jsonl").read_bytes()
    damage(half_done / "checkpoint.pt")
    if both:
        damage(half_done / "checkpoint.previous.pt")
    capsys.readouterr()
    runs.run(*runs.SHORT)
    said = capsys.readouterr().out
    assert "checkpoint.pt is corrupt" in said
    if both:
        assert "checkpoint.previous.pt is corrupt" in said
        assert "starting again" in said
        assert "Resuming" not in said
        aside = {path.name.split(".before-")[0]: path for path in half_done.glob("*.before-*")}
        assert set(aside) == {"checkpoint", "checkpoint.previous", "diagnostics", "metrics"}
        assert aside["metrics"].read_bytes() == recorded
        assert all(f"Kept as {path}" in said for path in aside.values())
    else:
        assert [path.name.split(".before-")[0] for path in half_done.glob("*.before-*")] == ["checkpoint"]
        assert "using the previous one" in said
        assert "Resuming after step 2." in said
    assert runs.outcome(half_done) == uninterrupted(*runs.SHORT)
    assert not Path("executed").exists()


def test_a_stop_between_the_renames_after_a_fallback_leaves_a_checkpoint(
    runs: Any,
    half_done: Path,
    uninterrupted: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truncated(half_done / "checkpoint.pt")
    replace = os.replace

    def replace_or_die(source: Any, target: Any) -> None:
        if Path(source).name == ".checkpoint.pt.fresh":
            raise runs.Killed
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace_or_die)
        with pytest.raises(runs.Killed):
            runs.run(*runs.SHORT, runs.OFTEN)
    capsys.readouterr()
    runs.run(*runs.SHORT)
    assert "Resuming after step 2." in capsys.readouterr().out
    assert runs.outcome(half_done) == uninterrupted(*runs.SHORT)


def test_a_checkpoint_that_the_disk_refuses_costs_nothing(
    runs: Any, half_done: Path, uninterrupted: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, before = Path.read_bytes, {path.name for path in half_done.iterdir()}
    recorded = (half_done / "metrics.jsonl").read_bytes()

    def refuse(path: Path) -> bytes:
        if path.suffix == ".pt":
            raise OSError(5, "Input/output error")
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse)
        with pytest.raises(RunFailed, match=r"cannot read or write .*Input/output error") as failure:
            runs.run(*runs.SHORT)
    assert failure.value.exit_code == 2
    assert (half_done / "metrics.jsonl").read_bytes() == recorded
    assert {path.name for path in half_done.iterdir()} == before
    runs.run(*runs.SHORT)
    assert runs.outcome(half_done) == uninterrupted(*runs.SHORT)


@pytest.mark.parametrize("name", ["diagnostics.npz", "metrics.jsonl"])
def test_damaged_measurements_are_named(runs: Any, half_done: Path, name: str) -> None:
    path = half_done / name
    path.write_bytes(b"{}\n" + path.read_bytes()[:-40])
    with pytest.raises(UserError, match=rf"{name}.*force=true"):
        runs.run(*runs.SHORT)
    runs.run(*runs.SHORT, "force=true")
    assert runs.status(half_done)["state"] == "finished"


def test_force_runs_again_over_a_damaged_status(runs: Any) -> None:
    runs.run(*runs.SHORT)
    path = runs.folder(*runs.SHORT) / "status.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"status\.json is damaged .* Write force=true"):
        runs.run(*runs.SHORT)
    runs.run(*runs.SHORT, "force=true")
    assert runs.status(path.parent)["state"] == "finished"
