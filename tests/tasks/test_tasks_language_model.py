"""The language model: its sizes, tied weights, carried state, perplexity, loss, and what it needs."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from momentum_exp.config import CellConfig, Config, DataConfig, TaskConfig, TrainerConfig
from momentum_exp.data import Batch
from momentum_exp.data.digits import load as load_digits
from momentum_exp.data.token_streams import TokenStreams
from momentum_exp.errors import UserError
from momentum_exp.tasks import build_task, carries_state, task_options
from momentum_exp.tasks.language_model import LanguageModel
from momentum_exp.training.device import Machine
from momentum_exp.training.loop import evaluate

V = 11
CPU = Machine(torch.device("cpu"), "float32")
CELLS = {
    "lstm": {},
    "momentumlstm": {"dynamics": "momentum", "mu": 0.6, "s": 0.6},
    "mu 0": {"dynamics": "momentum", "mu": 0.0, "s": 0.6},
    "srlstm": {"dynamics": "nesterov", "s": 0.6, "restart": 2},
    "adamlstm": {"dynamics": "adam", "mu": 0.6, "s": 0.6, "beta": 0.9, "eps": "paper"},
    "srlstm_released": {"recurrence": "srlstm_released", "s": 0.6, "restart": 2},
    "gru": {"recurrence": "gru"},
    "dtriv": {"recurrence": "dtriv", "skew_init": "henaff", "rebase": 0, "project": 100},
}


def text(n: int = 120, bptt: int = 6) -> TokenStreams:
    train, val, test = torch.randint(V, (3, n), generator=torch.Generator().manual_seed(0))
    return TokenStreams(train, val, test, V, 0, bptt)


def model(cell: dict[str, Any] | None = None, num_types: int = V, **task: Any) -> LanguageModel:
    """Embedding of 6, three layers of 8 units (the last of 6 if tied)."""
    cells = {"hidden_size": 8, "num_layers": 3, **(cell or {})}
    config = Config(
        cell=CellConfig(**cells),
        data=DataConfig(name="ptb"),
        task=TaskConfig(name="language_model", **{"embedding_size": 6, **task}),
        trainer=TrainerConfig(batch_size=4),
    )
    built = build_task(config, replace(text(), num_types=num_types))
    assert isinstance(built, LanguageModel)
    return built


def batch(steps: int = 9, seed: int = 1) -> Batch:
    words_BT = torch.randint(V, (4, steps + 1), generator=torch.Generator().manual_seed(seed))
    return Batch(words_BT[:, :-1], words_BT[:, 1:])


def cut(whole: Batch, start: int, end: int) -> Batch:
    return Batch(whole.inputs[:, start:end], whole.targets[:, start:end])


def test_the_sizes_of_the_layers_follow_from_the_rule() -> None:
    assert [(c.input_size, c.hidden_size) for c in model(tied=True).cells] == [(6, 8), (8, 8), (8, 6)]
    assert [(c.input_size, c.hidden_size) for c in model(tied=False).cells] == [(6, 8), (8, 8), (8, 8)]
    one = model({"num_layers": 1}, embedding_size=None)
    assert [(c.input_size, c.hidden_size) for c in one.cells] == [(8, 8)]


def test_tied_weights_are_one_tensor_that_counts_and_learns_once() -> None:
    one_layer = {"num_layers": 1, "hidden_size": 6}
    tied, apart = model(one_layer, tied=True), model(one_layer, tied=False)
    assert tied.decoder.weight is tied.embedding.weight
    assert apart.decoder.weight is not apart.embedding.weight
    apart.load_state_dict(tied.state_dict())
    count, counted = (sum(p.numel() for p in built.parameters()) for built in (tied, apart))
    assert counted - count == tied.embedding.weight.numel()
    for built in (tied, apart):
        built.eval().evaluate(batch()).loss.backward()
    torch.testing.assert_close(tied.embedding.weight.grad, apart.embedding.weight.grad + apart.decoder.weight.grad)
    copied = model(one_layer, tied=True)
    copied.load_state_dict(tied.state_dict())
    assert copied.decoder.weight is copied.embedding.weight
    assert torch.equal(copied.decoder.weight, tied.embedding.weight)


def test_the_full_model_of_the_paper_has_24_221_600_parameters() -> None:
    full = {"hidden_size": 1150, "num_layers": 3, "init": "torch"}
    built = model(full, 10_000, embedding_size=400, tied=True)
    assert sum(p.numel() for p in built.parameters()) == 24_221_600
    weight = built.embedding.weight.detach()
    assert float(weight.min()) == pytest.approx(-0.1, abs=1e-3)
    assert float(weight.max()) == pytest.approx(0.1, abs=1e-3)
    assert not built.decoder.bias.any()


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_two_segments_with_carried_state_are_one_long_one(cell: dict[str, Any]) -> None:
    task, whole = model(cell).double().eval(), batch()
    one = task.evaluate(whole)
    first = task.evaluate(cut(whole, 0, 4))
    second = task.evaluate(cut(whole, 4, 9), first.carry)
    assert (first.weight, second.weight, one.weight) == (16, 20, 36)
    both = (first.weight * first.loss + second.weight * second.loss) / one.weight
    torch.testing.assert_close(both, one.loss, rtol=1e-6, atol=0)  # the loss is in float32
    afresh = task.evaluate(cut(whole, 4, 9))
    assert abs(afresh.loss.item() - second.loss.item()) > 1e-6, "the state matters"
    assert one.carry is not None
    assert second.carry is not None
    for ours, theirs in zip(second.carry, one.carry, strict=True):
        for part in ("recurrence", "dynamics"):
            for name, tensor in getattr(ours, part).items():
                assert not tensor.requires_grad
                torch.testing.assert_close(tensor, getattr(theirs, part)[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reset", [False, True])
def test_k_goes_on_or_starts_at_1_in_each_segment(reset: bool) -> None:
    cell = {**CELLS["srlstm"], "restart": 0, "reset_k_per_segment": reset}
    task, whole = model(cell).eval(), batch()
    first = task.evaluate(cut(whole, 0, 4))
    second = task.evaluate(cut(whole, 4, 9), first.carry)
    assert second.carry is not None
    assert all((state.k == (5 if reset else 9)).all() for state in second.carry)


def test_v_itself_is_carried_also_when_the_input_weights_change() -> None:
    """v_5 = mu v_4 + s (W' x_5 + b'): the old v_4, as released; not the filtered input times the new weights."""
    task, whole = model({**CELLS["momentumlstm"], "num_layers": 1}, tied=False).double().eval(), batch()
    (before,) = task.evaluate(cut(whole, 0, 4)).carry or ()
    (layer,) = task.cells
    with torch.no_grad():
        layer.get_parameter("weight_ih_l0").mul_(3)
        layer.get_parameter("bias_ih_l0").add_(1)
    (after,) = task.evaluate(cut(whole, 4, 5), [before]).carry or ()
    g_BG = task.embedding(whole.inputs[:, 4]) @ layer.get_parameter("weight_ih_l0").T + layer.get_parameter(
        "bias_ih_l0"
    )
    torch.testing.assert_close(after.v[0], 0.6 * before.v[0] + 0.6 * g_BG)


def test_perplexity_weighs_every_token_alike() -> None:
    task, whole = model().eval(), batch()
    parts = [cut(whole, 0, 2), cut(whole, 2, 3), cut(whole, 3, 9)]
    measured = evaluate(task, parts, CPU, "val_")
    assert measured["val_loss"] == pytest.approx(task.evaluate(whole).loss.item(), rel=1e-6)
    assert measured["val_perplexity"] == pytest.approx(math.exp(measured["val_loss"]), rel=1e-12)
    assert set(measured) == {"val_loss", "val_perplexity"}
    assert task.summarise({"loss": 900.0, "cross_entropy": 900.0})["perplexity"] == math.inf


def test_who_says_every_word_alike_has_the_vocabulary_as_perplexity() -> None:
    task = model(tied=False)
    with torch.no_grad():
        task.decoder.weight.zero_()
    assert evaluate(task, list(text().evaluation("test", 1)), CPU, "")["perplexity"] == pytest.approx(V, rel=1e-5)


def test_the_loss_in_training_has_both_penalties_and_perplexity_has_not() -> None:
    rates = {"dropout_embedding": 0.2, "dropout_input": 0.3, "dropout_output": 0.4}
    task = model({"weight_dropout": 0.5, "dropout": 0.25}, **rates, ar=2.0, tar=3.0).train()
    torch.manual_seed(5)
    outcome = task.evaluate(batch())
    torch.manual_seed(5)
    dropped_BTH, h_BTH, _ = task(batch().inputs)
    assert (dropped_BTH == 0).float().mean() == pytest.approx(0.4, abs=0.2)
    assert not (h_BTH == 0).any()
    added = 2.0 * (dropped_BTH**2).mean() + 3.0 * ((h_BTH[:, 1:] - h_BTH[:, :-1]) ** 2).mean()
    torch.testing.assert_close(outcome.loss, outcome.metrics["cross_entropy"] + added)
    task.eval()
    still = task.evaluate(batch())
    assert torch.equal(still.loss, still.metrics["cross_entropy"])
    assert torch.equal(still.loss, task.evaluate(batch()).loss)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"cell": CellConfig(bidirectional=True)}, "cell.bidirectional=true: a language model would see"),
        ({"trainer": TrainerConfig(batch_size=121)}, "trainer.batch_size=121: the training text has 120 tokens"),
    ],
)
def test_what_a_language_model_cannot_be_is_said(config: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build_task(Config(**{"task": TaskConfig(name="language_model"), **config}), text())


def test_it_needs_a_text(tmp_path: Any) -> None:
    data = DataConfig(name="digits")
    config = Config(data=data, task=TaskConfig(name="language_model"))
    with pytest.raises(UserError, match=r"needs a text, which data\.name=digits is not"):
        build_task(config, load_digits(data, tmp_path, 0))


def test_what_the_task_reads_and_carries() -> None:
    fields = set(TaskConfig.__dataclass_fields__)
    assert set(task_options("language_model")) <= fields
    assert {"embedding_size", "tied", "ar", "tar"} <= set(task_options("language_model"))
    assert task_options("classification") == {}
    assert carries_state("language_model")
    assert not carries_state("classification")
