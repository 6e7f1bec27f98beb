"""Each part of AWD-LSTM's recipe on its own: penalties, dropout of units, of words and of weights, initialisation."""

from typing import Any

import pytest
import torch
from torch import Tensor

from momentum_exp.cells import Recurrent
from momentum_exp.tasks.activation_penalties import activation_penalty, change_penalty
from momentum_exp.tasks.dropout import embed, locked_dropout


def test_the_penalties_by_hand() -> None:
    h_BTH = torch.tensor([[[1.0, -2.0], [3.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]])
    assert float(activation_penalty(h_BTH)) == (1 + 4 + 9 + 0 + 0 + 0 + 1 + 1) / 8
    assert float(change_penalty(h_BTH)) == (4 + 4 + 1 + 1) / 4
    assert float(change_penalty(h_BTH[:, :1])) == 0


def test_locked_dropout_has_one_mask_for_all_steps() -> None:
    torch.manual_seed(0)
    x_BTD = torch.rand(50, 7, 40) + 1
    y_BTD = locked_dropout(x_BTD, 0.3, training=True)
    ratio_BTD = y_BTD / x_BTD
    torch.testing.assert_close(ratio_BTD, ratio_BTD[:, :1].expand_as(ratio_BTD))
    kept_BD = ratio_BTD[:, 0]
    torch.testing.assert_close(kept_BD[kept_BD > 0], torch.full_like(kept_BD[kept_BD > 0], 1 / 0.7))
    assert float((kept_BD == 0).float().mean()) == pytest.approx(0.3, abs=0.05)
    assert len({tuple(row) for row in (kept_BD > 0).tolist()}) == 50, "each sequence has its own"
    assert locked_dropout(x_BTD, 0.3, training=False) is x_BTD
    assert locked_dropout(x_BTD, 0.0, training=True) is x_BTD


def test_embedding_dropout_drops_whole_words_wherever_they_stand() -> None:
    torch.manual_seed(0)
    weight_VE, words_BT = torch.rand(300, 5) + 1, torch.randint(300, (20, 90))
    whole_BTE, dropped_BTE = embed(words_BT, weight_VE, 0.1, False), embed(words_BT, weight_VE, 0.1, True)
    assert torch.equal(whole_BTE, weight_VE[words_BT])
    ratio_BT = (dropped_BTE / whole_BTE).amax(2)
    torch.testing.assert_close(dropped_BTE, whole_BTE * ratio_BT[..., None])
    factors = {word: set() for word in range(300)}
    for word, factor in zip(words_BT.flatten().tolist(), ratio_BT.flatten().tolist(), strict=True):
        factors[word].add(round(factor, 5))
    assert all(len(found) <= 1 for found in factors.values())
    values = [factor for found in factors.values() for factor in found]
    assert set(values) == {0.0, round(1 / 0.9, 5)}
    assert values.count(0.0) / len(values) == pytest.approx(0.1, abs=0.05)


CONSTRAINED = ("dtriv",)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "peephole", "srlstm_released", "dtriv"])
def test_weight_drop_zeroes_entries_of_the_recurrent_weight_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = Recurrent(3, 40, recurrence=name, weight_dropout=0.5, engine="reference")
    seen = []
    step = type(layer.recurrence).step

    def watch(self: Any, u_BG: Tensor, state: Any, weights: Any) -> Any:
        seen.append(weights)
        return step(self, u_BG, state, weights)

    monkeypatch.setattr(type(layer.recurrence), "step", watch)
    layer(torch.randn(6, 2, 3))[0].sum().backward()
    plain, dropped = layer.weights(0), seen[0]
    assert all(weights.w_hh is dropped.w_hh for weights in seen), "one mask a call"
    kept = dropped.w_hh != 0
    torch.testing.assert_close(dropped.w_hh[kept], 2 * plain.w_hh[kept])
    where = plain.w_hh != 0
    assert float(kept[where].float().mean()) == pytest.approx(0.5, abs=0.05)
    assert torch.equal(dropped.w_ih, plain.w_ih)
    if name not in CONSTRAINED:
        gradient = layer.get_parameter("weight_hh_l0").grad
        assert gradient is not None
        assert not gradient[~kept].any()
        assert gradient[kept].any()
    before = len(seen)
    layer(torch.randn(1, 2, 3))
    assert not torch.equal(seen[before].w_hh, dropped.w_hh), "another mask in the next call"
    layer.eval()
    layer(torch.randn(1, 2, 3))
    assert torch.equal(seen[-1].w_hh, plain.w_hh)


def test_weight_drop_is_unbiased_and_the_same_in_every_engine() -> None:
    torch.manual_seed(0)
    weights = Recurrent(3, 10).weights(0)
    mean = torch.stack([weights.drop_recurrent(0.3).w_hh for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, weights.w_hh.detach(), rtol=0.2, atol=0.02)
    outputs = []
    for engine in ("reference", "library"):
        torch.manual_seed(1)
        layer = Recurrent(3, 10, dynamics="momentum", weight_dropout=0.5, engine=engine)
        torch.manual_seed(2)
        outputs.append(layer(torch.ones(5, 2, 3))[0])
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_weight_dropout_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="0 <= weight_dropout < 1"):
        Recurrent(3, 4, weight_dropout=rate)


def test_init_range_is_how_far_torch_s_initialisation_reaches() -> None:
    torch.manual_seed(0)
    layer = Recurrent(30, 40, init_range=0.1)
    for parameter in layer.parameters():
        assert 0.095 < parameter.abs().max().item() <= 0.1
    with pytest.raises(ValueError, match="init=torch"):
        Recurrent(3, 4, init="released", init_range=0.1)
