"""The error over frames of unequal sequences, by hand, and that padding and company change nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from corpora import write_speech, write_timit_sample
from torch import nn

from momentum_exp.cells import Recurrent
from momentum_exp.config import CellConfig, Config, DataConfig, TaskConfig
from momentum_exp.data import Batch, load_dataset
from momentum_exp.data.frames import Frames
from momentum_exp.errors import UserError
from momentum_exp.metrics import METRICS
from momentum_exp.tasks import build_task
from momentum_exp.tasks.frame_prediction import FramePrediction
from momentum_exp.training.device import Machine
from momentum_exp.training.loop import evaluate

CPU = Machine(torch.device("cpu"), "float32")
D = 3
CELLS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "momentumlstm": {"dynamics": "momentum", "mu": 0.3, "s": 0.1},
    "adamlstm": {"dynamics": "adam", "mu": 0.3, "s": 0.1, "beta": 0.999},
    "srlstm_released": {"recurrence": "srlstm_released", "s": 0.1, "restart": 2},
    "momentumdtriv": {"recurrence": "dtriv", "dynamics": "momentum", "mu": 0.3, "s": 0.1},
    "two directions": {"dynamics": "momentum", "mu": 0.3, "s": 0.1, "bidirectional": True},
}


def task_of(cell: str) -> FramePrediction:
    torch.manual_seed(0)
    return FramePrediction(Recurrent(D, 4, batch_first=True, **CELLS[cell]), D)


def frames(lengths: tuple[int, ...] = (5, 2, 9, 4, 7)) -> Frames:
    random = np.random.default_rng(0)
    rows = [random.standard_normal((length, D)).astype(np.float32) for length in lengths]
    return Frames(rows, rows, rows, num_features=D)


def gradients(task: FramePrediction, batch: Batch) -> dict[str, torch.Tensor]:
    task.zero_grad()
    task.evaluate(batch).loss.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad.clone() for name, p in task.named_parameters() if p.grad is not None}


def test_the_error_by_hand() -> None:
    """A readout that always says (1, 0, 2): sequences of 2 and 1 steps, 9 squared errors in all."""
    task = task_of("lstm")
    nn.init.zeros_(task.readout.weight)
    task.readout.bias.data = torch.tensor([1.0, 0.0, 2.0])
    targets_BTD = torch.tensor([[[1.0, 0.0, 2.0], [2.0, 2.0, 2.0]], [[1.0, 0.0, 5.0], [99.0, 99.0, 99.0]]])
    outcome = task.evaluate(Batch(torch.randn(2, 2, D), targets_BTD, torch.tensor([2, 1])))
    assert outcome.loss.item() == pytest.approx((1 + 4 + 9) / 9)
    assert outcome.weight == 3
    assert not outcome.metrics


@pytest.mark.parametrize("cell", CELLS)
def test_what_stands_behind_the_end_changes_nothing(cell: str) -> None:
    task, batch = task_of(cell), frames().batch(frames().train)
    assert batch.lengths_B is not None
    garbage = Batch(
        torch.cat([batch.inputs, torch.zeros(5, 3, D)], 1), torch.cat([batch.targets, torch.zeros(5, 3, D)], 1)
    )
    for row, length in enumerate(batch.lengths_B.tolist()):
        garbage.inputs[row, length:] = 1e3
        garbage.targets[row, length:] = -1e6
    other = Batch(garbage.inputs, garbage.targets, batch.lengths_B)
    torch.testing.assert_close(task.evaluate(other).loss, task.evaluate(batch).loss)
    expected = gradients(task, batch)
    for name, gradient in gradients(task, other).items():
        torch.testing.assert_close(gradient, expected[name], msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("cell", CELLS)
def test_a_sequence_alone_gives_what_it_gives_in_company(cell: str) -> None:
    task, dataset = task_of(cell), frames()
    batch = dataset.batch(dataset.train)
    together = task(batch.inputs, batch.lengths_B)
    alone = [dataset.batch([row]) for row in dataset.train]
    torch.testing.assert_close(together, torch.cat([task(one.inputs, one.lengths_B) for one in alone]))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_the_mean_over_a_split_is_that_of_one_batch_whatever_the_size(cell: str, batch_size: int) -> None:
    task, dataset = task_of(cell), frames()
    measured = evaluate(task, dataset.evaluation("test", batch_size), CPU, "test_")
    whole = task.evaluate(dataset.batch(dataset.test)).loss.item()
    assert measured == {"test_loss": pytest.approx(whole, rel=1e-5)}


def test_the_readout_is_on_every_step_of_its_own_sequence() -> None:
    task, dataset = task_of("lstm"), frames()
    batch = dataset.batch(dataset.train)
    y_BTH, _ = task.cell(batch.inputs)
    expected = [y_TH[:length] for y_TH, length in zip(y_BTH, batch.lengths_B.tolist(), strict=True)]
    torch.testing.assert_close(task(batch.inputs, batch.lengths_B), task.readout(torch.cat(expected)))


def test_the_released_sizes() -> None:
    """84, 120 and 158 units have the published 83,205, 136,089 and 203,159 parameters."""
    for hidden_size, parameters in ((84, 83_205), (120, 136_089), (158, 203_159)):
        task = FramePrediction(Recurrent(129, hidden_size, batch_first=True), 129)
        assert sum(p.numel() for p in task.parameters()) == parameters


def test_lower_is_better_in_decibel_squared() -> None:
    metric = METRICS["frame_prediction"]
    assert (metric.name, metric.higher, metric.label, metric.loss) == ("loss", False, "MSE (dB²)", "MSE (dB²)")
    assert metric.show(9.371) == "9.37"


def test_other_data_sets_are_refused() -> None:
    config = Config(cell=CellConfig(hidden_size=4), data=DataConfig(name="digits", limit=9))
    config.task = TaskConfig(name="frame_prediction")
    with pytest.raises(UserError, match=r"needs sequences of frames, which data\.name=digits has not; write .*data="):
        build_task(config, load_dataset(config.data, Path("unused"), 0))


def test_a_new_model_says_nothing_so_that_its_error_is_the_power_of_the_target(tmp_path: Path) -> None:
    config = Config(cell=CellConfig(hidden_size=8, forget_bias=-4.0), task=TaskConfig(name="frame_prediction"))
    config.data = DataConfig(name="timit_sample", root=str(write_timit_sample(tmp_path / "sample")))
    dataset = load_dataset(config.data, Path("unused"), 0)
    assert isinstance(dataset, Frames)
    power = float(np.mean(np.concatenate([frames_LD[1:] for frames_LD in dataset.test]).astype(float) ** 2))
    loss = evaluate(build_task(config, dataset), dataset.evaluation("test", 4), CPU, "test_")["test_loss"]
    assert loss == pytest.approx(power, rel=0.02)


def test_a_wrong_recording_ends_the_command_with_2_and_leaves_nothing(tmp_path: Path, command_line: Any) -> None:
    root = write_speech(tmp_path / "speech")
    (root / "speaker1" / "a.wav").write_bytes(b"RIFF of the band")
    done = command_line(
        "data=speech",
        f"data.root={root}",
        "trainer.max_steps=1",
        XDG_CACHE_HOME=str(tmp_path / "xdg"),
        MOMENTUM_EXP_NATIVE="0",
    )
    assert done.returncode == 2
    assert f"error: {root}/speaker1/a.wav cannot be read as sound" in done.stderr
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "xdg" / "momentum_exp").exists()
    assert not list(root.glob(".*"))
