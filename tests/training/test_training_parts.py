"""Means, evaluation, signals, the machine."""

import os
import signal
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from momentum_exp.cells import Recurrent
from momentum_exp.config import TrainerConfig
from momentum_exp.data import Batch
from momentum_exp.data.labelled import Rows, Split, batches
from momentum_exp.tasks.classification import Classification
from momentum_exp.training.device import Machine, keep_heap, set_up_machine
from momentum_exp.training.interruption import Interruption
from momentum_exp.training.loop import evaluate
from momentum_exp.training.means import Means

CPU = Machine(torch.device("cpu"), "float32")
NUMBERS = st.floats(-1e3, 1e3)


@given(st.lists(st.tuples(st.integers(1, 99), NUMBERS), min_size=1), st.integers(0, 99))
def test_means_are_weighted_and_go_on_from_their_sums(pairs: list[tuple[int, float]], cut: int) -> None:
    whole, first = Means(), Means()
    for weight, value in pairs:
        whole.add(weight, x=value, twice=2 * value)
    for weight, value in pairs[:cut]:
        first.add(weight, x=value, twice=2 * value)
    second = Means(first.sums)
    for weight, value in pairs[cut:]:
        second.add(weight, x=value, twice=2 * value)
    assert second.read("a_") == whole.read("a_")
    expected = sum(w * x for w, x in pairs) / sum(w for w, _ in pairs)
    assert whole.read() == pytest.approx({"x": expected, "twice": 2 * expected}, abs=1e-9)
    whole.clear()
    assert whole.read() == {}


def test_a_continued_mean_does_not_change_what_it_came_from() -> None:
    saved = {"x": [1.0, 1.0]}
    Means(saved).add(1, x=5.0)
    assert saved == {"x": [1.0, 1.0]}


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 100])
def test_evaluation_counts_each_row_once(batch_size: int) -> None:
    torch.manual_seed(0)
    task = Classification(Recurrent(1, 4, batch_first=True, num_layers=2, dropout=0.5), 3)
    split = Split(torch.randn(7, 5, 1), torch.arange(7) % 3)
    task.eval()
    with torch.no_grad():
        whole = task.evaluate(Batch(split.inputs_NTD, split.targets))
    task.train()
    measured = evaluate(task, Rows(split, batches(7, batch_size)), CPU, "test_")
    assert measured == pytest.approx(
        {"test_loss": whole.loss.item(), "test_accuracy": whole.metrics["accuracy"].item()}, rel=1e-5
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_acts(number: signal.Signals) -> None:
    class Acted(Exception):
        pass

    def act(*_: object) -> None:
        raise Acted

    before = signal.signal(number, act)
    try:
        with Interruption() as interruption:
            assert interruption.requested is False
            os.kill(os.getpid(), number)
            assert interruption.requested is True
            with pytest.raises(Acted):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is act
        with Interruption():
            pass
        assert signal.getsignal(number) is act
    finally:
        signal.signal(number, before)


@pytest.fixture
def switches() -> Iterator[None]:
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = True


@pytest.mark.usefixtures("switches")
@pytest.mark.parametrize("deterministic", [False, True])
def test_the_machine_is_set_up_as_asked(deterministic: bool) -> None:
    machine = set_up_machine(TrainerConfig(device="cpu", threads=1, deterministic=deterministic))
    assert (machine.device.type, machine.precision) == ("cpu", "float32")
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled() is deterministic
    assert torch.get_float32_matmul_precision() == "highest"
    set_up_machine(TrainerConfig(device="cpu", precision="tf32"))
    assert torch.get_float32_matmul_precision() == "high"


def test_bf16_is_for_matrix_products_alone() -> None:
    with Machine(torch.device("cpu"), "bf16").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with CPU.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_keeping_the_heap_says_whether_it_could() -> None:
    assert isinstance(keep_heap(), bool)
