"""The authors' curves as data."""

import csv
from importlib.resources import files

import numpy as np
import pytest

from momentum_exp.errors import UserError
from momentum_exp.paper.published_curves import published_curves

FOLDER = files("momentum_exp.paper").joinpath("published", "curves")
NAMES = sorted(file.name.removesuffix(".csv") for file in FOLDER.iterdir() if file.name.endswith(".csv"))


@pytest.mark.parametrize("name", NAMES)
def test_curves_are_complete_and_consistent(name: str) -> None:
    curves = published_curves(name)
    models = ["DTRIV", "MomentumDTRIV"] if "dtriv" in name else ["LSTM", "MomentumLSTM"]
    assert list(curves)[:2] == models
    for curve in curves.values():
        assert (np.diff(curve.x) > 0).all()
        assert (curve.low <= curve.mean).all()
        assert (curve.mean <= curve.high).all()
        assert curve.n_seeds in (4, 5)
        assert curve.x[0] >= 1
        assert len(curve.x) >= 18
    header = next(csv.reader(FOLDER.joinpath(f"{name}.csv").read_text().splitlines()))
    assert header[:1] + header[2:] == ["model", "n_seeds", "mean", "std_sample", "min", "max"]


def test_epochs_count_epochs_trained() -> None:
    """The first value is that of a trained model: below ln 10 for every model, by epoch 1. PTB counts from 1 itself."""
    for curve in published_curves("pmnist_n256_test_loss").values():
        assert (curve.x[0], curve.x[-1]) == (1, 149)
        assert curve.mean[0] < np.log(10)
    for model, last in (("LSTM", 499), ("SRLSTM", 500)):
        curve = published_curves("ptb_word_val_loss")[model]
        assert curve.x[:3].tolist() == [1, 2, 3]
        assert curve.x[-1] == last


def test_numbers_are_the_files_own() -> None:
    curve = published_curves("pmnist_n256_test_loss")["LSTM"]
    assert (curve.n_seeds, curve.mean[0], curve.low[2], curve.high[2]) == (4, 1.91529, 0.87271, 1.02715)
    repeated = published_curves("ptb_word_train_total_loss")["LSTM"]
    assert repeated.mean[0] == 7.1124
    assert repeated.x[0] >= 289  # steps 100, 142, 203 and 289 are one sample


def test_the_origin_of_every_file_is_written_beside_it() -> None:
    text = FOLDER.joinpath("README.md").read_text()
    assert "CC0" in text
    for name in NAMES:
        task = name.removesuffix("_test_loss").removesuffix("_train_loss")
        assert f"`{task}_*`" in text or f"{name}`" in text


def test_an_unknown_curve_is_an_error() -> None:
    with pytest.raises(UserError, match=r"mnist_n1_test_loss.*Known are mnist_n256_test_loss"):
        published_curves("mnist_n1_test_loss")
