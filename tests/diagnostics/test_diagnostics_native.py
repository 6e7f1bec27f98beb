"""The two ways to one measure: the training step's own backward pass, and a pass through the reference engine."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from momentum_exp.cells import Recurrent
from momentum_exp.config import TaskConfig
from momentum_exp.data import Batch
from momentum_exp.diagnostics.gradient_flow import Flow, watch_flow
from momentum_exp.engines.reference import Reference
from momentum_exp.tasks import Carry, Task
from momentum_exp.tasks.classification import Classification
from momentum_exp.tasks.frame_prediction import FramePrediction
from momentum_exp.tasks.language_model import LanguageModel

B, T = 4, 12
MOMENTUM = {"dynamics": "momentum", "mu": 0.6, "s": 1.5}
ADAM = {"dynamics": "adam", "mu": 0.5, "s": 0.6, "beta": 0.9}
DEEP = {**MOMENTUM, "num_layers": 2, "bidirectional": True, "dropout": 0.4, "weight_dropout": 0.3}


def layer(inputs: int, hidden: int, engine: str, **options: Any) -> Recurrent:
    return Recurrent(inputs, hidden, batch_first=True, engine=engine, **options)


def classification(engine: str, **options: Any) -> tuple[Task, Batch]:
    task = Classification(layer(1, 9, engine, **options), 3)
    return task, Batch(torch.randn(B, T, 1, dtype=torch.float64), torch.arange(B) % 3)


def frame_prediction(engine: str, **options: Any) -> tuple[Task, Batch]:
    task = FramePrediction(layer(3, 6, engine, **options), 3)
    frames_BTD = torch.randn(2, B, T, 3, dtype=torch.float64)
    return task, Batch(frames_BTD[0], frames_BTD[1], torch.tensor([5, T, 1, 8]))


def language_model(engine: str, **options: Any) -> tuple[Task, Batch]:
    """Everything of AWD-LSTM's recipe."""
    layers = [layer(6, 8, engine, weight_dropout=0.5, **options), layer(8, 6, engine, weight_dropout=0.5, **options)]
    config = TaskConfig("language_model", 6, True, 0.1, 0.4, 0.4, ar=2.0, tar=1.0)
    words_BT = torch.randint(11, (B, T + 1))
    return LanguageModel(layers, 11, config, dropout=0.25), Batch(words_BT[:, :-1], words_BT[:, 1:])


def step(task: Task, batch: Batch, carry: Carry = None) -> tuple[Flow, Carry, list[torch.Tensor]]:
    """The flow of a training step with dropout, the state it ends with, and its gradients."""
    task.zero_grad()
    torch.manual_seed(3)
    with watch_flow(task, batch, carry) as flow:
        outcome = task.evaluate(batch, carry)
        outcome.loss.backward()  # type: ignore[no-untyped-call]
    return flow, outcome.carry, [p.grad.clone() for p in task.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    ("make", "options", "places"),
    [
        (classification, MOMENTUM, ["l0"]),
        (classification, ADAM, ["l0"]),
        (classification, {"recurrence": "srlstm_released", "s": 0.7, "restart": 3}, ["l0"]),
        (classification, {"recurrence": "dtriv", **MOMENTUM}, ["l0"]),
        (classification, DEEP, ["l0", "l0_reverse", "l1", "l1_reverse"]),
        (frame_prediction, MOMENTUM, ["l0"]),
        (frame_prediction, {**DEEP, **ADAM}, ["l0", "l0_reverse", "l1", "l1_reverse"]),
        (language_model, MOMENTUM, ["l0", "l1"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "-".join(map(str, value)),
)
def test_they_agree(make: Callable[..., tuple[Task, Batch]], options: dict[str, Any], places: list[str]) -> None:
    """With the same dropout, on the trained loss: two steps, the second from the first one's state if it is carried."""
    found = []
    for engine in ("reference", "native"):
        torch.manual_seed(0)
        task, batch = make(engine, **options)
        task.double()
        with torch.no_grad():
            for parameter in task.parameters():
                parameter.mul_(3)  # far enough for some gates to saturate
        first, carry, _ = step(task, batch)
        second, _, gradients = step(task, batch, carry)
        found.append((first, second, gradients))
    (*truths, true_gradients), (*flows, gradients) = found
    torch.testing.assert_close(gradients, true_gradients, rtol=1e-6, atol=1e-8)
    for flow, truth in zip(flows, truths, strict=True):
        states = "h" if "recurrence" in options and options["recurrence"] == "dtriv" else "hc"
        assert set(flow.norms) == set(truth.norms) == {f"{state}_{place}" for state in states for place in places}
        for name, norms_T in flow.norms.items():
            assert norms_T.shape == (T,)
            assert norms_T.dtype == torch.float32
            assert norms_T.max() > 1e-3
            torch.testing.assert_close(norms_T, truth.norms[name], rtol=2e-6, atol=1e-9)
        assert flow.gates.keys() == truth.gates.keys()
        for place, saturation in flow.gates.items():
            assert saturation.low == pytest.approx(truth.gates[place].low)
            assert saturation.high == pytest.approx(truth.gates[place].high)
            assert list(saturation.low) == (["i", "f", "o"] if states == "hc" else [])
    if states == "hc":
        assert any(sum(saturation.high.values()) for saturation in flows[1].gates.values())


@pytest.mark.parametrize("make", [classification, frame_prediction, language_model])
def test_the_native_engine_makes_no_other_pass(
    make: Callable[..., tuple[Task, Batch]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pass through the reference engine")

    task, batch = make("native", **MOMENTUM)
    task.double()
    evaluate, calls = task.evaluate, []
    monkeypatch.setattr(Reference, "run", refuse)
    monkeypatch.setattr(task, "evaluate", lambda *given: calls.append(given) or evaluate(*given))
    assert step(task, batch)[0].norms
    assert len(calls) == 1


@pytest.mark.parametrize("engine", ["native", "library"])
def test_a_watched_step_is_the_same_step(engine: str) -> None:
    """Bit for bit: gradients and, after it, the random state. Where one cell has another engine, all are measured."""
    torch.manual_seed(0)
    task, batch = language_model("native", **MOMENTUM)
    assert isinstance(task, LanguageModel)
    task.layers[1] = layer(8, 6, engine, weight_dropout=0.5, **MOMENTUM)
    task.double()
    other = copy.deepcopy(task)
    flow, _, gradients = step(task, batch)
    state = torch.get_rng_state()
    assert set(flow.norms) == {"h_l0", "c_l0", "h_l1", "c_l1"}
    torch.manual_seed(3)
    other.evaluate(batch).loss.backward()  # type: ignore[no-untyped-call]
    assert torch.equal(torch.get_rng_state(), state)
    plain = [p.grad for p in other.parameters() if p.grad is not None]
    assert len(plain) == len(gradients) > 0
    assert all(torch.equal(a, b) for a, b in zip(plain, gradients, strict=True))
