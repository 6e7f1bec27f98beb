"""Figures of losses over training, of synthetic runs: what their axes hold against numbers worked out by hand."""

from pathlib import Path

import numpy as np
from figure_runs import draw, write
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure, SubFigure

from momentum_exp.paper.figure.specification import load_figure
from momentum_exp.summary.style import COLOURS


def parts(figure: Figure) -> list[SubFigure]:
    return list(figure.subfigs)


def legend(part: SubFigure) -> dict[str, str]:
    (box,) = part.legends
    return {text.get_text(): text.get_color() for text in box.get_texts()}


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
