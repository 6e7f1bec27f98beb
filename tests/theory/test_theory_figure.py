"""The cells that are compared, their curves and what `make vanishing-gradient` writes, on a small scale."""

import csv
import importlib.util
import math
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F

from momentum_exp.data.labelled import Labelled, Split
from momentum_exp.theory.curves import Curves, curves_of
from momentum_exp.theory.figure import vanishing_figure
from momentum_exp.theory.subjects import digits_float64, trained, untrained

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "vanishing_gradient.py"
H, T = 4, 8


@pytest.fixture(scope="module")
def dataset() -> Labelled:
    """The digits, but their fourth columns alone, of the first 128 rows."""
    return digits_float64().map(lambda split: Split(split.inputs_NTD[:128, 3::T], split.targets[:128]))


def test_the_data_is_the_digits_in_float64() -> None:
    test = digits_float64().test
    assert test.inputs_NTD.dtype == torch.float64
    assert test.inputs_NTD.shape[1:] == (64, 1)


@pytest.mark.parametrize("norm", [0.5, 1.0])
def test_untrained_cells_differ_in_mu_alone(norm: float) -> None:
    one, other = untrained(0.0, norm, H), untrained(0.9, norm, H)
    assert (one.layer.dynamics.mu, other.layer.dynamics.mu) == (0.0, 0.9)
    assert one.norm == pytest.approx(norm)
    for ours, theirs in ((one.layer, other.layer), (one.readout, other.readout)):
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name])


def test_training_learns_and_repeats_itself(dataset: Labelled) -> None:
    first, again = (trained(0.6, dataset, 8, epochs=40) for _ in range(2))
    inputs_NTD, targets = dataset.train.inputs_NTD, dataset.train.targets
    with torch.no_grad():
        before, after = (F.cross_entropy(s.logits(inputs_NTD), targets) for s in (untrained(0.6, None, 8), first))
        right = first.logits(dataset.test.inputs_NTD).argmax(1) == dataset.test.targets
    assert after < before - 0.2
    assert first.accuracy == pytest.approx(right.double().mean().item())
    assert torch.equal(first.layer.weight_hh_l0, again.layer.weight_hh_l0)


def test_the_curves_are_means_of_each_sample_s_relative_norm(dataset: Labelled) -> None:
    subject, batch = untrained(0.9, 0.5, H), dataset.test.limit(2)
    both = curves_of(subject, batch)
    singles = [curves_of(subject, Split(batch.inputs_NTD[i : i + 1], batch.targets[i : i + 1])) for i in range(2)]
    for name, norm_T in both.norms._asdict().items():
        expected_T = sum(getattr(single.norms, name) for single in singles) / 2
        torch.testing.assert_close(norm_T[1:], expected_T[1:])
    assert float(both.norms.total[-1]) == pytest.approx(1.0)
    assert 0 <= both.deviation < 1e-12


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, dataset: Labelled) -> ModuleType:
    """The script with small cells and little training."""
    spec = importlib.util.spec_from_file_location("vanishing_gradient_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "MUS", (0.0, 0.9))
    monkeypatch.setattr(module, "digits_float64", lambda: dataset)
    monkeypatch.setattr(module, "untrained", partial(untrained, hidden_size=H))
    monkeypatch.setattr(module, "trained", partial(trained, hidden_size=H, epochs=1))
    return module


def test_the_script_writes_picture_and_record(script: ModuleType, tmp_path: Path) -> None:
    table = script.vanishing_gradient(tmp_path / "out")
    assert len(table.splitlines()) == 2 + 3 * 2
    assert (tmp_path / "out" / "vanishing_gradient.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "out" / "vanishing_gradient.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * T  # cells times t = T .. 1
    assert [row["weights"] for row in rows[:: 2 * T]] == ["untrained", "untrained", "trained"]
    for row in rows:
        values = {name: float(row[name]) for name in ("total", "plain", "system", "paper", "second_order", "velocity")}
        assert values["plain"] == values["system"] == values["total"]
        assert (values["paper"] == values["total"]) == (row["mu"] == "0.0" or row["steps_back"] == "0")
        assert all(math.isfinite(value) for value in values.values())


def test_the_figure_has_exact_and_paper_curves(dataset: Labelled, tmp_path: Path) -> None:
    batch = dataset.test.limit(2)
    group: list[Curves] = [curves_of(untrained(mu, 0.5, H), batch) for mu in (0.0, 0.9)]
    figure = vanishing_figure({"one": group, "two": group}, tmp_path / "figure.png")
    above, below = figure.axes[:2], figure.axes[2:]
    assert [panel.get_title() for panel in above] == ["one", "two"]
    for panel in above:
        assert [line.get_linestyle() for line in panel.lines] == ["-", "-", "--"]  # mu = 0 has no second curve
        assert panel.lines[2].get_xdata().tolist() == list(range(T - 1, -1, -1))
        assert panel.lines[2].get_ydata().tolist() == pytest.approx(group[1].norms.paper[1:].tolist())
    for panel in below:
        assert [line.get_ydata().tolist() for line in panel.lines] == [
            pytest.approx(curves.norms.velocity[1:].tolist()) for curves in group
        ]
    assert all(panel.get_yscale() == "log" for panel in figure.axes)
