"""Figures: what their axes hold, not what their pixels look like."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from momentum_exp.errors import UserError
from momentum_exp.summary.convergence import convergence
from momentum_exp.summary.draw import draw
from momentum_exp.summary.gradients import DECADES, gradient_heat_map, gradient_lines, load_traces
from momentum_exp.summary.series import POINTS, series
from momentum_exp.summary.style import COLOURS
from momentum_exp.tracking.run_record import read_run

MakeRun = Callable[..., Path]
T = 6
STEPS = np.array([10, 20, 40])
H_KT = np.float32(10.0) ** np.arange(-17, 1).reshape(3, T)


def panels(figure: Figure) -> list[Axes]:
    """The axes that show data: not the colour bars."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def write_traces(path: Path, **traces: Any) -> Path:
    np.savez(path, step=STEPS, **traces)
    return path


def test_convergence_draws_mean_and_range_over_seeds(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [
        read_run(make_run("momentumlstm", seed, dynamics="momentum", mu=0.6, accuracies=a, losses=b))
        for seed, (a, b) in enumerate([((0.5, 0.6), (2.0, 1.0)), ((0.7, 0.9), (1.0, 0.5))])
    ]
    figure = convergence(runs, tmp_path / "c.png")
    assert is_png(tmp_path / "c.png")
    train, loss, accuracy = panels(figure)
    assert [axes.get_xlabel() for axes in (train, loss, accuracy)] == ["iteration", "epoch", "epoch"]
    assert [axes.get_ylabel() for axes in (train, loss, accuracy)] == ["cross-entropy (nats)"] * 2 + ["accuracy (%)"]
    assert [axes.get_title() for axes in (train, loss, accuracy)] == [
        "pdigits: training loss",
        "pdigits: test loss",
        "pdigits: test accuracy",
    ]
    np.testing.assert_allclose(accuracy.lines[0].get_xydata(), [[1, 60.0], [2, 75.0]])
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [[1, 1.5], [2, 0.75]])
    np.testing.assert_allclose(train.lines[0].get_ydata(), 2.3 / np.arange(1, 9) + 0.05)
    (band,) = accuracy.collections
    assert (band.get_datalim(accuracy.transData).y0, band.get_datalim(accuracy.transData).y1) == (50.0, 90.0)
    assert train.lines[0].get_color() == COLOURS["momentum"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["momentumlstm, N = 8, n = 2"]
    assert "minimum to maximum" in legend.get_title().get_text()


def test_a_task_judged_by_its_loss_has_two_panels_and_its_baseline(make_run: MakeRun, tmp_path: Path) -> None:
    regression = {"data": "adding", "task": "regression", "losses": (0.3, 0.1), "baselines": {"always 1": 1 / 6}}
    figure = convergence([read_run(make_run(seed=seed, **regression)) for seed in (0, 1)], tmp_path / "c.png")
    assert is_png(tmp_path / "c.png")
    train, loss = panels(figure)
    assert [axes.get_title() for axes in (train, loss)] == ["adding: training loss", "adding: test loss"]
    assert [axes.get_ylabel() for axes in (train, loss)] == ["mean squared error"] * 2
    for axes in (train, loss):
        mean, baseline = axes.lines
        assert list(baseline.get_ydata()) == [1 / 6, 1 / 6]
    np.testing.assert_allclose(mean.get_xydata(), [[1, 0.3], [2, 0.1]])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["lstm, N = 8, n = 2", "always 1: 0.1667"]


def test_what_no_epoch_measured_is_left_empty(make_run: MakeRun, tmp_path: Path) -> None:
    run = read_run(make_run())
    for record in run.epochs:
        del record["test_accuracy"]
    train, loss, accuracy = panels(convergence([run], tmp_path / "c.png"))
    assert [len(axes.lines[0].get_xdata()) for axes in (train, loss, accuracy)] == [8, 2, 0]


def test_one_run_has_no_band(make_run: MakeRun, tmp_path: Path) -> None:
    figure = convergence([read_run(make_run())], tmp_path / "c.png")
    assert [len(axes.collections) for axes in panels(figure)] == [0, 0, 0]


def test_runs_of_unequal_length_meet_where_all_have_records(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [read_run(make_run(seed=seed, accuracies=[0.5] * epochs)) for seed, epochs in ((0, 3), (1, 2))]
    accuracy = panels(convergence(runs, tmp_path / "c.png"))[2]
    assert list(accuracy.lines[0].get_xdata()) == [1, 2]


def test_many_step_records_are_averaged_to_the_last_one(make_run: MakeRun, tmp_path: Path) -> None:
    run = read_run(make_run(accuracies=[0.5], steps_per_epoch=2 * POINTS + 1))
    line = panels(convergence([run], tmp_path / "c.png"))[0].lines[0]
    assert len(line.get_xdata()) <= POINTS
    assert line.get_xdata()[-1] == 2 * POINTS + 1
    np.testing.assert_allclose(line.get_ydata()[-1], np.mean([2.3 / (2 * POINTS + 1 - k) for k in range(2)]))


def test_a_null_loss_is_a_gap_not_an_error(make_run: MakeRun, tmp_path: Path) -> None:
    run = read_run(make_run())
    run.steps[3]["train_loss"] = None
    line = panels(convergence([run], tmp_path / "c.png"))[0].lines[0]
    assert np.isnan(line.get_ydata()).tolist() == [False] * 3 + [True] + [False] * 4


def test_namesakes_share_a_colour_and_differ_in_line_style(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [read_run(make_run("momentumlstm", dynamics="momentum", mu=mu)) for mu in (0.3, 0.6)]
    runs.append(read_run(make_run("lstm")))
    runs.append(read_run(make_run("srlstm_released")))
    lines = panels(convergence(runs, tmp_path / "c.png"))[0].lines
    assert [(line.get_color(), line.get_linestyle()) for line in lines] == [
        (COLOURS["momentum"], "-"),
        (COLOURS["momentum"], "--"),
        (COLOURS["identity"], "-"),
        (COLOURS["sr"], "-"),
    ]


def test_heat_map_of_one_source_has_its_states_side_by_side(tmp_path: Path) -> None:
    source = write_traces(tmp_path / "d.npz", h_l0=H_KT, c_l0=2 * H_KT)
    figure = gradient_heat_map({"lstm": source}, tmp_path / "g.png")
    assert is_png(tmp_path / "g.png")
    h, c = panels(figure)
    assert h.get_subplotspec().rowspan == c.get_subplotspec().rowspan
    assert h.get_xlabel() == "training iteration"
    bottom, top = h.get_ylim()
    assert (bottom, top) == (T - 0.5, -0.5)  # t runs down, 0 at the top
    np.testing.assert_allclose(h.get_xlim(), (5, 50))  # columns centred at their iterations
    (mesh,) = h.collections
    assert isinstance(mesh.norm, LogNorm)
    assert mesh.get_array().shape == (T, 3)
    assert mesh.get_array()[T - 1, 2] == mesh.norm.vmax == 1.0  # the last t of the last iteration
    np.testing.assert_allclose(mesh.norm.vmin, 10.0**-DECADES)
    bars = [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"]
    assert len(bars) == 2
    assert all("h_t" in bars[0] and "mean over the batch" in bar for bar in bars)
    assert "c_t" in bars[1]


def test_heat_maps_of_several_sources_share_the_scale_and_keep_their_gaps(tmp_path: Path) -> None:
    sources = {
        "lstm": write_traces(tmp_path / "a.npz", h_l0=H_KT, c_l0=H_KT),
        "gru": write_traces(tmp_path / "b.npz", h_l0=100 * H_KT),
    }
    lstm_h, gru_h, lstm_c, no_c = panels(gradient_heat_map(sources, tmp_path / "g.png"))
    assert [lstm_h.get_title(), gru_h.get_title(), lstm_c.get_title()] == ["lstm", "gru", "lstm"]
    assert lstm_h.collections[0].norm is gru_h.collections[0].norm
    assert lstm_h.collections[0].norm.vmax == 100
    assert lstm_c.collections[0].norm.vmax == 1
    assert not no_c.axison


def test_heat_map_on_the_published_scale_is_linear_and_saturates(tmp_path: Path) -> None:
    source = write_traces(tmp_path / "d.npz", h_l0=H_KT)
    (panel,) = panels(gradient_heat_map({"lstm": source}, tmp_path / "g.png", vmax=0.05))
    norm = panel.collections[0].norm
    assert not isinstance(norm, LogNorm)
    assert (norm.vmin, norm.vmax) == (0.0, 0.05)


@pytest.mark.parametrize("norms", [np.zeros((3, T)), np.full((3, T), 0.1)])
def test_norms_that_are_all_equal_can_be_drawn(tmp_path: Path, norms: np.ndarray) -> None:
    source = write_traces(tmp_path / "d.npz", h_l0=norms)
    gradient_heat_map({"lstm": source}, tmp_path / "g.png")
    gradient_lines({"lstm": source}, tmp_path / "l.png")
    assert is_png(tmp_path / "g.png")
    assert is_png(tmp_path / "l.png")


def test_one_iteration_can_be_drawn(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", step=[100], h_l0=H_KT[:1])
    (panel,) = panels(gradient_heat_map({"lstm": tmp_path / "d.npz"}, tmp_path / "g.png"))
    assert panel.get_xlim() == (99.5, 100.5)


def test_lines_are_the_norms_of_chosen_iterations_on_a_log_axis(tmp_path: Path) -> None:
    source = write_traces(tmp_path / "d.npz", h_l0=H_KT)
    (panel,) = panels(gradient_lines({"lstm": source}, tmp_path / "l.png", iterations=2))
    assert is_png(tmp_path / "l.png")
    assert panel.get_yscale() == "log"
    assert [line.get_label() for line in panel.lines] == ["10", "40"]
    np.testing.assert_array_equal(panel.lines[1].get_ydata(), H_KT[2])


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("h_l0", r"$\|\partial \ell / \partial h_t\|_2$"),
        ("c_l2", r"$\|\partial \ell / \partial c_t^{(2)}\|_2$"),
        ("h_l0_reverse", r"$\|\partial \ell / \partial h_t^{(0, reverse)}\|_2$"),
    ],
)
def test_symbols_name_state_layer_and_direction(tmp_path: Path, name: str, symbol: str) -> None:
    assert load_traces(write_traces(tmp_path / "d.npz", **{name: H_KT}))[name].symbol == symbol


def test_what_is_no_file_of_gradients_is_an_error_that_names_it(tmp_path: Path) -> None:
    bad = tmp_path / "d.npz"
    with pytest.raises(UserError, match=r"d\.npz"):
        load_traces(bad)
    bad.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match=r"d\.npz"):
        load_traces(bad)
    np.savez(bad, step=STEPS)
    with pytest.raises(UserError, match=r"gradient_through_time=true"):
        load_traces(bad)
    np.savez(bad, step=STEPS, h_l0=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="allow_pickle"):
        load_traces(bad)


def test_draw_takes_gradients_of_one_run_a_cell(make_run: MakeRun, tmp_path: Path) -> None:
    trace = {"step": STEPS, "h_l0": H_KT}
    paths = [
        make_run(seed=1, gradients=trace),
        make_run(seed=0),
        make_run("momentumlstm", mu=0.6, gradients=trace),
    ]
    files = draw([read_run(path) for path in paths], tmp_path / "out")
    assert [file.name for file in files] == ["convergence.png", "gradient_heat_map.png", "gradient_lines.png"]
    assert all(map(is_png, files))
    assert draw([read_run(paths[1])], tmp_path / "bare") == [tmp_path / "bare" / "convergence.png"]


def test_runs_recorded_at_different_intervals_are_compared_over_the_same_iterations() -> None:
    """Every 2 and every 3 of 12, the value being the iteration: means over (0, 3], (3, 6], ..; one run goes further."""

    def records(every: int, end: int) -> list[dict[str, float]]:
        return [{"step": step, "train_loss": float(step)} for step in range(every, end + 1, every)]

    x, y_RX = series([records(2, 12), records(3, 18)], "step", "train_loss")
    assert x.tolist() == [3, 6, 9, 12]
    assert y_RX.tolist() == [[2, 5, 8, 11], [3, 6, 9, 12]]
    assert series([records(2, 12), []], "step", "train_loss")[0].tolist() == []
