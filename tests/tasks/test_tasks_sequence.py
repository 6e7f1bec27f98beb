"""A label at every step, a number for a sequence: losses and metrics against what they say, by hand."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from momentum_exp.cells import Recurrent
from momentum_exp.config import CellConfig, Config, DataConfig, TaskConfig
from momentum_exp.data import Batch, load_dataset
from momentum_exp.errors import UserError
from momentum_exp.metrics import METRICS
from momentum_exp.tasks import build_task
from momentum_exp.tasks.cell import last_hidden
from momentum_exp.tasks.regression import Regression
from momentum_exp.tasks.sequence_labelling import SequenceLabelling
from momentum_exp.training.device import Machine
from momentum_exp.training.loop import evaluate

CPU = Machine(torch.device("cpu"), "float32")
GENERATED = {"length": 6, "symbols": 8, "steps_per_epoch": 2, "limit": 20}
DATA = {
    "copying": DataConfig(name="copying", **GENERATED),
    "adding": DataConfig(name="adding", **GENERATED),
    "digits": DataConfig(name="digits", limit=20),
}
GOES_WITH = {"copying": "sequence_labelling", "adding": "regression", "digits": "classification"}


def constant(readout: nn.Linear, bias: Tensor) -> None:
    """Make a task say the same whatever it has read."""
    nn.init.zeros_(readout.weight)
    readout.bias.data = bias


def configured(data: str, task: str) -> Config:
    return Config(cell=CellConfig(hidden_size=4), data=DATA[data], task=TaskConfig(name=task))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_labelling_is_the_mean_cross_entropy_of_all_steps(bidirectional: bool) -> None:
    torch.manual_seed(0)
    task = SequenceLabelling(Recurrent(3, 4, batch_first=True, bidirectional=bidirectional), num_classes=5, recalled=2)
    batch = Batch(torch.randn(6, 7, 3), torch.randint(5, (6, 7)))
    outcome, logits_BTK = task.evaluate(batch), task(batch.inputs)
    assert logits_BTK.shape == (6, 7, 5)
    said = [
        math.log(sum(math.exp(logit) for logit in logits)) - logits[label]
        for row, labels in zip(logits_BTK.tolist(), batch.targets.tolist(), strict=True)
        for logits, label in zip(row, labels, strict=True)
    ]
    assert outcome.loss.item() == pytest.approx(sum(said) / len(said), rel=1e-5)
    assert (outcome.weight, outcome.carry) == (6, None)


def test_accuracy_is_that_of_what_is_to_be_recalled() -> None:
    """A model that says 1 everywhere: 3 of the last 2 x 4 labels are 1, and all before are not."""
    task = SequenceLabelling(Recurrent(1, 4, batch_first=True), num_classes=3, recalled=4)
    constant(task.readout, torch.tensor([0.0, 5.0, 0.0]))
    targets = torch.tensor([[0, 0, 0, 1, 1, 0, 2], [2, 2, 2, 0, 0, 2, 1]])
    outcome = task.evaluate(Batch(torch.zeros(2, 7, 1), targets))
    assert outcome.metrics["accuracy"].item() == 3 / 8


def test_a_labeller_sees_the_past_alone() -> None:
    task = SequenceLabelling(Recurrent(2, 4, batch_first=True, dynamics="momentum", mu=0.6, s=0.6), 3, recalled=1)
    x_BTD = torch.randn(2, 6, 2)
    later_BTD = x_BTD.clone()
    later_BTD[:, 4:] += 1
    torch.testing.assert_close(task(x_BTD)[:, :4], task(later_BTD)[:, :4])
    assert not torch.allclose(task(x_BTD)[:, 4:], task(later_BTD)[:, 4:])


@pytest.mark.parametrize("num_layers", [1, 2])
def test_what_is_read_is_where_each_direction_ends(num_layers: int) -> None:
    x_BTD = torch.randn(3, 5, 2)
    one = Recurrent(2, 4, num_layers, batch_first=True)
    torch.testing.assert_close(last_hidden(one, x_BTD), one(x_BTD)[0][:, -1])
    both = Recurrent(2, 4, num_layers, batch_first=True, bidirectional=True)
    y_BTH = both(x_BTD)[0]
    torch.testing.assert_close(last_hidden(both, x_BTD), torch.cat([y_BTH[:, -1, :4], y_BTH[:, 0, 4:]], dim=1))


def test_regression_is_the_mean_squared_error() -> None:
    torch.manual_seed(0)
    task = Regression(Recurrent(2, 4, batch_first=True))
    batch = Batch(torch.randn(6, 5, 2), torch.randn(6))
    outcome, said = task.evaluate(batch), task(batch.inputs).tolist()
    errors = [(one - other) ** 2 for one, other in zip(said, batch.targets.tolist(), strict=True)]
    assert outcome.loss.item() == pytest.approx(sum(errors) / 6, rel=1e-5)
    assert (dict(outcome.metrics), outcome.weight) == ({}, 6)


def test_who_always_says_1_has_the_baseline_of_adding() -> None:
    dataset = load_dataset(DataConfig(name="adding", length=6, steps_per_epoch=1), Path("unused"), 0)
    task = build_task(configured("adding", "regression"), dataset)
    constant(task.readout, torch.ones(1))
    measured = evaluate(task, dataset.evaluation("test", 128) or [], CPU, "test_")
    assert measured == {"test_loss": pytest.approx(dataset.baselines["always 1"], rel=0.1)}


@pytest.mark.parametrize("batch_size", [1, 3, 20, 100])
@pytest.mark.parametrize("data", ["copying", "adding"])
def test_evaluation_counts_each_row_once(data: str, batch_size: int) -> None:
    dataset = load_dataset(DATA[data], Path("unused"), 0)
    task = build_task(configured(data, GOES_WITH[data]), dataset)
    (whole,) = dataset.evaluation("test", 20) or []
    with torch.no_grad():
        outcome = task.evaluate(whole)
    expected = {"loss": outcome.loss.item(), **{name: value.item() for name, value in outcome.metrics.items()}}
    measured = evaluate(task, dataset.evaluation("test", batch_size) or [], CPU, "")
    assert measured == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("task", ["sequence_labelling", "regression", "classification"])
@pytest.mark.parametrize("data", DATA)
def test_a_task_goes_with_its_data_alone(data: str, task: str) -> None:
    dataset = load_dataset(DATA[data], Path("unused"), 0)
    if GOES_WITH[data] == task:
        outcome = build_task(configured(data, task), dataset).evaluate(dataset.training(4, 0, 0)[0])
        assert math.isfinite(outcome.loss.item())
    else:
        with pytest.raises(UserError, match=rf"task\.name={task} needs .* which data\.name={data} has not"):
            build_task(configured(data, task), dataset)


@pytest.mark.parametrize(
    ("task", "label"), [("sequence_labelling", "cross-entropy (nats)"), ("regression", "mean squared error")]
)
def test_both_are_judged_by_their_loss_and_lower_is_better(task: str, label: str) -> None:
    metric = METRICS[task]
    assert (metric.name, metric.higher, metric.label, metric.loss) == ("loss", False, label, label)
    assert (metric.show(1 / 6), metric.number(1 / 6), metric.show(None)) == ("0.16667", "0.16667", "--")
