"""The figures of conf/figure, of synthetic runs: what their axes hold against numbers worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure, SubFigure
from planned_runs import finish

from momentum_exp.errors import UserError
from momentum_exp.paper.artifacts import figures
from momentum_exp.paper.figure.curves import Curves
from momentum_exp.paper.figure.specification import load_figure
from momentum_exp.paper.published_curves import published_curves
from momentum_exp.paper.study import Study, load_study, plan
from momentum_exp.summary.style import COLOURS
from momentum_exp.tracking.records import Records

NAMES = figures.names()
T, STEPS = 5, np.array([1, 2, 4])


def epochs(*losses: float) -> list[dict[str, float]]:
    return [{"test_loss": loss, "val_loss": loss, "test_accuracy": 1 - loss} for loss in losses]


def write(study: str, arm: str, seed: int, runs: Path, *losses: float, scale: str = "smoke", **facts: object) -> Path:
    """A finished run with these test losses by epoch, and ten times these as training losses at steps 10, 20, .."""
    (planned,) = plan(load_study(study), scale, [seed], [arm])
    path = finish(planned, runs, epochs(*losses), **facts)
    records = Records(path / "metrics.jsonl")
    for number, loss in enumerate(losses, start=1):
        records.append({"kind": "step", "step": 10 * number, "epoch": number, "train_loss": 10 * loss})
    return path


def draw(name: str, runs: Path, scale: str = "smoke", seeds: Sequence[int] = (0, 1)) -> dict[str, Figure]:
    return load_figure(name).draw(name, scale, seeds, runs).pictures


def parts(figure: Figure) -> list[SubFigure]:
    return list(figure.subfigs)


def legend(part: SubFigure) -> dict[str, str]:
    (box,) = part.legends
    return {text.get_text(): text.get_color() for text in box.get_texts()}


def test_needs_are_the_arms_that_the_rows_name() -> None:
    planned = figures.needs("figure6", "reduced", [0])
    assert [(run.study, run.arm) for run in planned] == [
        ("pmnist_dtriv", "dtriv_n170"),
        ("pmnist_dtriv", "momentumdtriv_n170"),
        ("pmnist_dtriv", "s_alone_n170"),
        ("timit_dtriv", "dtriv_n224"),
        ("timit_dtriv", "momentumdtriv_n224"),
        ("timit_dtriv", "s_alone_n224"),
    ]
    assert figures.needs("figure1", "smoke", [0]) == figures.needs("figure5", "smoke", [0]) == []
    planned = figures.needs("figure4", "smoke", [0, 3])
    assert len({run.identity.hash for run in planned}) == 2 * 2 * 7
    assert {(run.scale, run.seed) for run in planned} == {("smoke", 0), ("smoke", 3)}


def test_every_arm_and_published_curve_that_a_row_names_is_there() -> None:
    for name in NAMES:
        figure = load_figure(name)
        for row in figure.rows if isinstance(figure, Curves) else ():
            assert set(row.arms) <= set(load_study(row.study).arms)
            assert set(row.authors) <= set(row.shows)
            for file in row.authors.values():
                assert set(row.models) <= set(published_curves(file))
            assert set(row.models.values()) <= set(row.arms)
            assert row.setting or row.scales == ["full"] or not row.authors


def test_curves_are_means_with_the_range_between_seeds(tmp_path: Path) -> None:
    write("mnist", "lstm", 0, tmp_path, 2.0, 1.0)
    write("mnist", "lstm", 1, tmp_path, 1.0, 0.8)
    write("mnist", "momentumlstm", 0, tmp_path, 1.5, 1.2)
    (part,) = parts(draw("figure3", tmp_path)[""])
    train, test, *_ = part.axes
    assert [axes.get_title() for axes in (train, test)] == ["training loss", "test loss"]
    np.testing.assert_allclose(train.lines[0].get_xydata(), [[10, 15], [20, 9]])
    np.testing.assert_allclose(test.lines[0].get_xydata(), [[1, 1.5], [2, 0.9]])
    np.testing.assert_allclose(test.lines[1].get_xydata(), [[1, 1.5], [2, 1.2]])
    (band,) = test.collections  # one seed has none
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices.round(6).tolist()}
    assert corners == {(1, 1), (1, 2), (2, 0.8), (2, 1)}
    assert [line.get_color() for line in test.lines] == [COLOURS["identity"], COLOURS["momentum"]]
    texts = legend(part)
    assert [text for text, ink in texts.items() if ink == "black"] == ["LSTM (n = 2)", "MomentumLSTM (n = 1)"]
    assert next(text for text, ink in texts.items() if ink != "black") == "AdamLSTM (no run yet)"
    assert len(texts) == 8
    assert "SMOKE SCALE: 64 images" in part._suptitle.get_text()


def authors_panels(part: SubFigure) -> list[Axes]:
    return [axes for axes in part.axes if to_hex(axes.get_facecolor()) != "#ffffff" and axes.axison]


def test_at_another_scale_the_authors_stand_in_panels_of_their_own(tmp_path: Path) -> None:
    write("pmnist", "lstm", 0, tmp_path, 2.0, 1.0)
    (part,) = parts(draw("figure3", tmp_path)[""])
    assert [len(axes.lines) for axes in part.axes[:2]] == [1, 1]
    train, test = authors_panels(part)
    assert test.get_title() == "AUTHORS: test loss\nN = 256, 150 epochs"
    assert len(test.lines) == 5
    assert test.lines[0].get_xydata()[0].tolist() == [1, 1.91529]
    assert train.lines[0].get_xydata()[0].tolist() == [100, 2.19677]


def test_at_the_papers_scale_the_authors_are_drawn_over_ours(tmp_path: Path) -> None:
    write("ptb", "momentumlstm", 0, tmp_path, 2.0, 1.0, scale="full")
    drawing = load_figure("figure5").draw("figure5", "full", [0], tmp_path)
    (part,) = parts(drawing.pictures[""])
    assert authors_panels(part) == []
    test = part.axes[1]
    ours, *theirs = test.lines
    np.testing.assert_allclose(ours.get_xydata(), [[1, 2], [2, 1]])
    assert [line.get_linestyle() for line in theirs] == [":"] * 3
    assert theirs[1].get_color() == ours.get_color()
    assert "SCALE" not in part._suptitle.get_text()
    assert any("dotted" in line for line in drawing.says)


def test_losses_without_training_are_dotted_and_named(tmp_path: Path) -> None:
    for seed in (0, 1):
        write("copying", "lstm", seed, tmp_path, 2.0, 1.0, baselines={"memoryless": 0.5})
    (part,) = parts(draw("figure4", tmp_path)[""])
    for axes in part.axes:
        mean, dotted = axes.lines
        assert list(dotted.get_ydata()) == [0.5, 0.5]
        assert (mean.get_linestyle(), dotted.get_linestyle()) == ("-", ":")
        assert axes.get_yscale() == "log"
    assert "memoryless: 0.5" in legend(part)


def test_a_row_without_runs_is_left_out_and_said(tmp_path: Path) -> None:
    write("adding", "dtriv", 1, tmp_path, 2.0, 1.0)
    files = figures.render("figure4", "smoke", [0, 1], tmp_path, tmp_path / "out")
    assert [file.name for file in files] == ["figure4.png", "figure4.svg", "figure4.md"]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert all(file.stat().st_size < 1_000_000 for file in files)
    text = files[-1].read_text()
    assert "Not drawn, no run is finished: Copying. SMOKE SCALE: length 5, N = 16, 10 iterations." in text
    (planned,) = plan(load_study("adding"), "smoke", [1], ["dtriv"])
    assert f"| DTRIV | 1 | `{planned.identity.folder}` |" in text
    assert "| LSTM | 0 | -- |" in text
    assert "Not in it: 13 missing of 14 runs, for example\n\n    python -m momentum_exp data=adding" in text
    assert "commit: c0ffee0" in text


def test_the_same_runs_give_the_same_files(tmp_path: Path) -> None:
    write("adding", "dtriv", 0, tmp_path, 2.0, 1.0)
    first, second = (figures.render("figure4", "smoke", [0], tmp_path, tmp_path / out) for out in "ab")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_a_diverged_run_is_not_called_missing(tmp_path: Path) -> None:
    write("adding", "dtriv", 0, tmp_path, 2.0, 1.0)
    write("adding", "lstm", 0, tmp_path, 2.0, 9.0, state="diverged")
    text = figures.render("figure4", "smoke", [0], tmp_path, tmp_path / "out")[-1].read_text()
    assert "Not in it: 5 missing, 1 diverged of 7 runs" in text
    commands = [line.split() for line in text.splitlines() if line.startswith("    python -m momentum_exp")]
    (again,) = (command for command in commands if "retry=true" in command)
    assert {"data=adding", "cell=lstm"} <= set(again)


def gradients(path: Path, factor: float) -> np.ndarray:
    norms_KT = factor * np.arange(1.0, 3 * T + 1).reshape(3, T) / 1000
    np.savez(path / "diagnostics.npz", step=STEPS, h_l0=norms_KT)
    return norms_KT


def test_heat_maps_of_the_first_seed_share_one_scale(tmp_path: Path) -> None:
    norms_KT = gradients(write("gradients", "rnn", 0, tmp_path, 1.0), 1)
    gradients(write("gradients", "rnn", 1, tmp_path, 1.0), 1000)
    gradients(write("gradients", "momentumlstm_mu0.9", 1, tmp_path, 1.0), 10)
    drawing = load_figure("figure2").draw("figure2", "smoke", [0, 1], tmp_path)
    linear, log = drawing.pictures[""], drawing.pictures["_log"]
    panels = {axes.get_title(): axes for axes in linear.axes if axes.get_title()}
    assert list(panels)[:2] == ["RNN", "MomentumRNN\nmu = 0.0"]
    assert len(panels) == 10
    (mesh,) = panels["RNN"].collections
    np.testing.assert_allclose(mesh.get_array(), norms_KT.T)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, 0.05)
    assert mesh.norm is panels["MomentumLSTM\nmu = 0.9"].collections[0].norm
    assert [text.get_text() for text in panels["LSTM"].texts] == ["no run yet"]
    assert not panels["LSTM"].collections
    (mesh,) = log.axes[0].collections
    assert isinstance(mesh.norm, LogNorm)
    np.testing.assert_allclose((mesh.norm.vmin, mesh.norm.vmax), (0.001, 0.15))
    assert any("seed 0 or 1" in line for line in drawing.says)


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


@pytest.mark.parametrize(("name", "scale"), [("figure2", "smoke"), ("figure4", "smoke"), ("figure5", "reduced")])
def test_without_a_finished_run_the_command_that_makes_them_is_said(name: str, scale: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        figures.render(name, scale, [0, 1, 2], tmp_path, tmp_path / "out")
    first = figures.needs(name, scale, [0])[0]
    assert f"python -m momentum_exp.paper {name} --scale {scale} --seeds 3 --runs {tmp_path}" in str(raised.value)
    assert first.command in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_what_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such figure.*Write figure3"):
        figures.needs("figure33", "smoke", [0])
    with pytest.raises(UserError, match="SCALE=tiny: takes full, reduced, smoke"):
        figures.needs("figure1", "tiny", [0])
    (caption,) = figures.render("figure5", "smoke", [0], tmp_path, tmp_path / "out")
    assert "Not drawn: its studies do not exist at scale smoke" in caption.read_text()


def test_a_file_that_is_no_figure_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "figure").mkdir()
    monkeypatch.setattr("momentum_exp.paper.figure.specification.conf_dir", lambda: tmp_path)
    for content, expected in (
        ("title: a\ndraws: pies", "draws: pies is not one of cells, curves"),
        ("- a", "draws: None is not one of"),
        ("title: a\ndraws: curves\nrow: []", "can't be read.*row"),
    ):
        (tmp_path / "figure" / "mine.yaml").write_text(content)
        with pytest.raises(UserError, match=expected):
            load_figure("mine")
