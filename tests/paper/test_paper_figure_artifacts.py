"""The figures of conf/figure: which runs they need, their files and captions, and what is said of runs they lack."""

from pathlib import Path

import pytest
from figure_runs import write

from momentum_exp.errors import UserError
from momentum_exp.paper.artifacts import figures
from momentum_exp.paper.figure.curves import Curves
from momentum_exp.paper.figure.specification import load_figure
from momentum_exp.paper.published_curves import published_curves
from momentum_exp.paper.study import load_study, plan

NAMES = figures.names()


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
    curves = [figure for figure in map(load_figure, NAMES) if isinstance(figure, Curves)]
    assert len(curves) == 4
    for figure in curves:
        for row in figure.rows:
            assert set(row.arms) <= set(load_study(row.study).arms)
            assert set(row.authors) <= set(row.shows)
            for file in row.authors.values():
                assert set(row.models) <= set(published_curves(file))
            assert set(row.models.values()) <= set(row.arms)
            assert row.setting or row.scales == ["full"] or not row.authors


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
