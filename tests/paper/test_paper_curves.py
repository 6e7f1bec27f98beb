"""The authors' curve file, and runs beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from momentum_exp.errors import UserError
from momentum_exp.paper.curves import pmnist_comparison, pmnist_overlay
from momentum_exp.paper.run_record import load_run

MakeRun = Callable[..., Path]


def test_comparison_says_whether_a_loss_lies_within_the_range(make_run: MakeRun) -> None:
    # The authors' LSTM: 1.67222 to 2.20482 after one epoch, 0.87271 to 1.02715 after three, none after nine.
    losses = [2.0, 1.2, 1.5, 0.7, 0.6, 0.5, 0.45, 0.4, 0.39]
    path = make_run(data="pmnist", hidden_size=256, seed=7, accuracies=[0.5] * 9, losses=losses)
    rows = pmnist_comparison([load_run(path)])
    assert [row["test_loss"] for row in rows] == losses
    assert rows[0] == {
        "cell": "lstm",
        "seed": 7,
        "run": "pmnist-lstm-n256-muNone-7",
        "epoch": 1,
        "test_loss": 2.0,
        "authors_min": 1.67222,
        "authors_mean": 1.91529,
        "authors_max": 2.20482,
        "authors_seeds": 4,
        "within": True,
    }
    assert [rows[2]["within"], rows[8]["within"], rows[8]["authors_min"]] == [False, None, None]


def test_overlay_draws_our_loss_over_the_range(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [
        load_run(make_run(cell, seed, data="pmnist", hidden_size=256, losses=(1.9, 1.2)))
        for cell, seed in (("lstm", 0), ("momentumlstm", 0), ("momentumlstm", 1))
    ]
    figure = pmnist_overlay(runs, tmp_path / "o.png")
    assert (tmp_path / "o.png").stat().st_size > 5000
    lstm, momentum = figure.axes
    assert [lstm.get_title(), momentum.get_title()] == [
        "lstm, pmnist, N = 256",
        "momentumlstm, pmnist, N = 256",
    ]
    mean, ours = lstm.lines
    assert mean.get_xydata()[0].tolist() == [1, 1.91529]
    np.testing.assert_allclose(ours.get_xydata(), [[1, 1.9], [2, 1.2]])
    (band,) = lstm.collections
    assert band.get_datalim(lstm.transData).y1 == 2.20482
    assert len(momentum.lines) == 3
    assert [text.get_text() for text in momentum.get_legend().get_texts()] == [
        "authors, mean",
        "authors, range over 5 seeds",
        "ours, seed 0, 1",
    ]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"data": "mnist"}, "it has cell.num_layers=None|it has cell.init=None"),
        ({"hidden_size": 128}, "it has cell.hidden_size=128, the authors' runs cell.hidden_size=256"),
        ({"cell": "momentumlstm", "mu": 0.9}, "it has cell.mu=0.9, the authors' runs cell.mu=0.6"),
        ({"cell": "gru"}, "its cell is gru; there are curves for lstm"),
    ],
)
def test_a_run_without_a_published_curve_is_an_error(
    make_run: MakeRun, tmp_path: Path, run: dict[str, Any], expected: str
) -> None:
    loaded = [load_run(make_run(**{"data": "pmnist", "hidden_size": 256, **run}))]
    with pytest.raises(UserError, match=expected):
        pmnist_comparison(loaded)
    with pytest.raises(UserError, match="has no published curve"):
        pmnist_overlay(loaded, tmp_path / "o.png")
    assert not (tmp_path / "o.png").exists()
