"""Heat maps of gradients and grids of the ablation, of synthetic runs: what their panels hold, and what they lack."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from figure_runs import draw, write
from matplotlib.colors import LogNorm

from momentum_exp.errors import UserError
from momentum_exp.paper.figure.specification import load_figure
from momentum_exp.paper.study import Study, load_study

T, STEPS = 5, np.array([1, 2, 4])


def gradients(path: Path, factor: float) -> np.ndarray:
    norms_KT = factor * np.arange(1.0, 3 * T + 1).reshape(3, T) / 1000
    np.savez(path / "diagnostics.npz", step=STEPS, h_l0=norms_KT)
    return norms_KT


def test_heat_maps_are_means_over_seeds_and_share_one_scale(tmp_path: Path) -> None:
    """Of the logarithm: norms of 1 and 100 have a mean of 10."""
    norms_KT = gradients(write("gradients", "rnn", 0, tmp_path, 1.0), 1)
    gradients(write("gradients", "rnn", 1, tmp_path, 1.0), 100)
    gradients(write("gradients", "momentumlstm_mu0.9", 1, tmp_path, 1.0), 5)
    drawing = load_figure("figure2").draw("figure2", "smoke", [0, 1], tmp_path)
    linear, log = drawing.pictures[""], drawing.pictures["_log"]
    panels = {axes.get_title(): axes for axes in linear.axes if axes.get_title()}
    assert list(panels)[:2] == ["RNN", "MomentumRNN\nmu = 0.0"]
    assert len(panels) == 11
    (mesh,) = panels["RNN"].collections
    np.testing.assert_allclose(mesh.get_array(), 10 * norms_KT.T)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, 0.05)
    assert mesh.norm is panels["MomentumLSTM\nmu = 0.9"].collections[0].norm
    assert [text.get_text() for text in panels["LSTM"].texts] == ["no run yet"]
    assert not panels["LSTM"].collections
    (mesh,) = log.axes[0].collections
    assert isinstance(mesh.norm, LogNorm)
    np.testing.assert_allclose((mesh.norm.vmin, mesh.norm.vmax), (0.005, 0.15))
    assert any("RNN (2)" in line and "MomentumLSTM, mu = 0.9 (1)" in line for line in drawing.says)


def test_heat_maps_show_common_iterations_and_say_what_is_missing(tmp_path: Path) -> None:
    """Other studies make some of the runs, with other diagnostics: a gap in a panel, never an error for all."""
    write("gradients", "rnn", 0, tmp_path, 1.0)
    with pytest.raises(UserError, match=r"no finished run recorded gradients through time.*seed=0 force=true"):
        draw("figure2", tmp_path)
    gradients(write("gradients", "momentumrnn_mu0.0", 0, tmp_path, 1.0), 1)
    sparse = write("gradients", "lstm", 0, tmp_path, 1.0)
    np.savez(sparse / "diagnostics.npz", step=STEPS[::2], h_l0=np.ones((2, T)))
    single = write("gradients", "momentumlstm_mu0.0", 0, tmp_path, 1.0)
    np.savez(single / "diagnostics.npz", step=STEPS[:1], h_l0=np.ones((1, T)))
    write("gradients", "momentumlstm_mu0.6", 0, tmp_path, 1.0)
    gradients(write("gradients", "momentumlstm_mu0.6", 1, tmp_path, 1.0), 1)
    drawing = load_figure("figure2").draw("figure2", "smoke", [0, 1], tmp_path)
    panels = {axes.get_title(): axes for axes in drawing.pictures[""].axes if axes.get_title()}
    for title in ("MomentumRNN\nmu = 0.0", "LSTM", "MomentumLSTM\nmu = 0.6"):
        (mesh,) = panels[title].collections
        assert mesh.get_array().shape == (T, 2)
    for title in ("RNN", "MomentumLSTM\nmu = 0.0"):
        assert [text.get_text() for text in panels[title].texts] == ["no gradients"]
    said = "\n".join(drawing.says)
    assert "the 2 at which all of these runs recorded" in said
    assert "Not drawn: RNN, whose" in said
    assert "Not drawn: MomentumLSTM, mu = 0.0, whose" in said
    assert said.count("Not drawn") == 2


def test_damaged_gradient_norms_are_an_error_that_names_them(tmp_path: Path) -> None:
    path = write("gradients", "rnn", 0, tmp_path, 1.0)
    (path / "diagnostics.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match=r"diagnostics\.npz has no readable gradient norms.*force=true"):
        draw("figure2", tmp_path)
    np.savez(path / "diagnostics.npz", step=STEPS, c_l0=np.ones((3, T)))
    with pytest.raises(UserError, match="no gradient norms of h_l0, but of c_l0"):
        draw("figure2", tmp_path)


@pytest.fixture
def few_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation at its corners and its middle: composing all of its arms takes long."""
    corners = ("mu0.0_s0.1", "mu0.0_s1.0", "mu0.3_s0.6", "mu0.9_s0.1", "mu0.9_s1.0")

    def few(name: str) -> Study:
        study = load_study(name)
        return replace(study, arms={arm: study.arms[arm] for arm in corners})

    monkeypatch.setattr("momentum_exp.paper.figure.grids.load_study", few)


@pytest.mark.usefixtures("few_arms")
def test_the_ablation_stands_above_the_published_one(tmp_path: Path) -> None:
    write("ablation_mnist", "mu0.0_s0.1", 0, tmp_path, 0.5, 0.4)
    write("ablation_mnist", "mu0.0_s0.1", 1, tmp_path, 0.3, 0.9)
    write("ablation_mnist", "mu0.9_s1.0", 0, tmp_path, 0.8)
    figure = draw("figure7", tmp_path)[""]
    ours, nothing, _, published, speech, words = figure.axes
    assert ours.get_title().startswith("OURS (n = 0 to 2): test accuracy (%)\nPermuted digits. SMOKE SCALE")
    values_MS = ours.images[0].get_array()  # mu 0 and 0.9 below each other, s 0.1 and 1
    np.testing.assert_allclose(values_MS.filled(np.nan), [[65, np.nan], [np.nan, 20]])
    assert [text.get_text() for text in ours.texts] == ["65.00", "--", "--", "20.00"]
    assert not nothing.axison
    assert "does not exist at scale smoke" in nothing.get_title()
    array_MS = published.images[0].get_array()
    assert array_MS.shape == (3, 3)
    assert (array_MS[2, 0], array_MS[0, 0], array_MS[1, 1]) == (99.08, 37.39, 65.73)
    assert speech.images[0].get_array()[1, 1] == 8.73
    assert isinstance(words.images[0].norm, LogNorm)
    assert (published.images[0].cmap.name, words.images[0].cmap.name) == ("viridis", "viridis_r")
