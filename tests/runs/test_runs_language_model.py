"""Runs of the language model: killed anywhere they end as if nothing had been, averaging included."""

import math
from pathlib import Path
from typing import Any

import pytest

from momentum_exp.errors import UserError
from momentum_exp.training import loop

SMALL = (
    "data=ptb",
    "data.limit=60",
    "data.bptt=10",
    "task.embedding_size=4",
    "cell.num_layers=2",
    "trainer.epochs=7",
    "trainer.log_every=3",
    "trainer.checkpoint_seconds=0",
    "optimizer.nonmono=1",
    "diagnostics.every=4",
    "diagnostics.figures=false",
)
VALIDATION = [3.0, 2.0, 2.0, 2.5, 2.0, 2.0, 2.0]  # what is worse than the best but the newest: epoch 4


class Killed(BaseException):
    """Stands for a kill."""


@pytest.fixture
def epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation losses that start to average after epoch 4; all else is measured."""
    measure = loop.epoch_record

    def measured(progress: Any, *rest: Any) -> dict[str, Any]:
        return measure(progress, *rest) | {"val_loss": VALIDATION[progress.epoch]}

    monkeypatch.setattr(loop, "epoch_record", measured)


def killed_after(runs: Any, overrides: tuple[str, ...], steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run, and die at each of `steps`, just after its checkpoint."""
    save = loop.save_checkpoint
    for step in steps:

        def save_and_die(folder: Path, content: dict[str, Any], step: int = step) -> None:
            save(folder, content)
            if content["progress"]["step"] == step:
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(loop, "save_checkpoint", save_and_die)
            with pytest.raises(Killed):
                runs.run(*overrides)


@pytest.mark.parametrize("cell", ["momentumlstm", "srlstm"])
@pytest.mark.usefixtures("epochs")
def test_killed_before_and_after_the_switch_a_run_ends_bit_identical(
    runs: Any, ptb_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    overrides = (*SMALL, f"cell={cell}", f"paths.data={ptb_root}")
    undisturbed = type(runs)(tmp_path / "undisturbed")
    undisturbed.run(*overrides)
    expected = undisturbed.outcome(undisturbed.folder(*overrides))
    ends = [record for record in expected["records"] if record["kind"] == "epoch"]
    steps = [record["step"] for record in ends]
    averaged = [record["averaged_steps"] for record in ends]
    assert averaged == [max(0, step - steps[3]) for step in steps]
    assert averaged[-1] > 0
    assert min(after - before for before, after in zip([0, *steps], steps, strict=False)) > 2
    middles = [steps[0] + 1, steps[3] - 1, steps[3], steps[3] + 1, steps[5] + 2]
    killed_after(runs, overrides, middles, monkeypatch)
    runs.run(*overrides)
    outcome = runs.outcome(runs.folder(*overrides))
    assert outcome == expected
    assert len(outcome["optimizer"]["averaging"]["means"]) > 5


def test_the_learning_rate_of_a_resumed_run_decays_on(
    runs: Any, ptb_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decay = ("optimizer=sgd", "optimizer.decay=0.5", "optimizer.decay_after=2")
    overrides = (*(key for key in SMALL if "nonmono" not in key), "cell=lstm", *decay, f"paths.data={ptb_root}")
    undisturbed = type(runs)(tmp_path / "undisturbed")
    undisturbed.run(*overrides)
    expected = undisturbed.outcome(undisturbed.folder(*overrides))
    by_epoch = {r["epoch"]: r["lr"] for r in expected["records"] if r["kind"] == "step"}
    assert by_epoch == {epoch: 0.1 * 0.5 ** max(0, epoch - 2) for epoch in range(1, 8)}
    killed_after(runs, overrides, [20, 31], monkeypatch)
    runs.run(*overrides)
    assert runs.outcome(runs.folder(*overrides)) == expected


def test_the_run_is_chosen_by_the_lowest_perplexity(runs: Any, ptb_root: Path) -> None:
    overrides = (*SMALL, "cell=lstm", "trainer.epochs=3", f"paths.data={ptb_root}")
    score = runs.run(*overrides)
    ends = [record for record in runs.records(runs.folder(*overrides)) if record["kind"] == "epoch"]
    assert score == min(record["val_perplexity"] for record in ends)
    for record in ends:
        for split in ("val", "test"):
            assert record[f"{split}_perplexity"] == pytest.approx(math.exp(record[f"{split}_loss"]))
        assert math.log(record["train_perplexity"]) < record["train_loss"], "AR and TAR are in the training loss"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("task.tied=true", "has no effect: task classification does not read it"),
        ("cell.init_range=0.1", "has no effect: cell.init=released has ranges of its own"),
        ("optimizer.decay_after=3", "has no effect: the learning rate does not decay"),
        ("optimizer.nonmono=3", "has no effect: optimizer rmsprop has no nonmono"),
        ("data.bptt=3", "has no effect: data set digits does not read it"),
        ("cell.reset_k_per_segment=true", "has no effect: task classification starts every sequence anew"),
    ],
)
def test_keys_without_effect_are_refused(runs: Any, key: str, said: str) -> None:
    with pytest.raises(UserError, match=f"(?i){key} {said}"):
        runs.run("cell=srlstm", key)
    assert not runs.root.exists()


def test_off_is_the_same_run_as_never_named(runs: Any, ptb_root: Path) -> None:
    assert runs.folder("cell=lstm") == runs.folder("cell=lstm", "cell.weight_dropout=0")
    small = ("experiment=ptb_small_srlstm", f"paths.data={ptb_root}")
    off = ("cell.weight_dropout=0.0", "task.ar=0", "task.tied=false", "cell.reset_k_per_segment=true")
    assert runs.folder(*small) == runs.folder(*small, *off)
    assert runs.folder(*small) != runs.folder(*small, "cell.reset_k_per_segment=false")
