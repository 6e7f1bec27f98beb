"""Runs, groups and the table, against numbers worked out by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from momentum_exp.errors import UserError
from momentum_exp.summary.groups import group_runs
from momentum_exp.summary.table import table
from momentum_exp.tracking.run_record import finished_runs, read_run
from momentum_exp.tracking.selection import CHOSEN

MakeRun = Callable[..., Path]
ALWAYS_1 = {"always 1": 1 / 6}


def rows(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


def test_a_run_is_read_back(make_run: MakeRun) -> None:
    run = read_run(make_run("momentumlstm", 3, mu=0.6))
    assert (run.seed, run.identity["cell"], run.config["cell"]["mu"]) == (3, "momentumlstm", 0.6)
    assert [record["step"] for record in run.steps] == list(range(1, 9))
    assert [record["epoch"] for record in run.epochs] == [1, 2]


def test_table_numbers(make_run: MakeRun) -> None:
    make_run(seed=0, accuracies=(0.80, 0.90, 0.70), val_accuracies=(0.9, 0.1, 0.2))
    make_run(seed=1, accuracies=(0.84, 0.80, 0.74), val_accuracies=(0.1, 0.9, 0.2))
    make_run(seed=2, accuracies=(0.88, 0.82, 0.78), val_accuracies=(0.1, 0.2, 0.9))
    path = make_run("momentumlstm", 0, mu=0.6, accuracies=(0.5, 0.25))
    text = table(finished_runs(path.parent)[0])
    assert rows(text) == [
        ["data", "cell", "N", "settings", "parameters", *CHOSEN.values()],
        ["---"] * 8,
        # last: 70, 74, 78; by validation: 80, 80, 78; by test: 90, 84, 88. Sample std: over n - 1.
        ["pdigits", "lstm", "8", "--", "12,345", "74.00 ± 4.00 (3)", "79.33 ± 1.15 (3)", "87.33 ± 3.06 (3)"],
        ["pdigits", "momentumlstm", "8", "--", "12,345", "25.00 (1)", "--", "50.00 (1)"],
    ]
    assert "sample standard deviation" in text


def test_one_seed_has_no_deviation_and_two_have_one(make_run: MakeRun) -> None:
    runs = [read_run(make_run(seed=0, accuracies=[0.5]))]
    assert rows(table(runs))[-1][5] == "50.00 (1)"
    runs.append(read_run(make_run(seed=1, accuracies=[0.52])))
    assert rows(table(runs))[-1][5] == "51.00 ± 1.41 (2)"


def test_a_task_judged_by_its_loss_has_a_table_of_its_own_beside_the_baseline(make_run: MakeRun) -> None:
    for seed, losses in enumerate([(0.2, 0.00011, 0.03), (0.1, 0.00013, 0.05)]):
        make_run(seed=seed, data="adding", task="regression", accuracies=[0] * 3, losses=losses, baselines=ALWAYS_1)
    make_run("gru", data="adding", task="regression", accuracies=[0], losses=[0.5])
    path = make_run(accuracies=[0.5])
    text = table(finished_runs(path.parent)[0])
    assert text.index("Test mean squared error at") < text.index("Test accuracy (%) at")
    head, _, gru, lstm, *accuracies = rows(text)
    assert head[5:] == [*CHOSEN.values(), "loss without training"]
    # the last epoch: 0.03, 0.05; the lowest loss: 0.00011, 0.00013
    assert lstm[5:] == ["0.04000 ± 0.01414 (2)", *["0.00012 ± 0.00001 (2)"] * 2, "0.16667 (always 1)"]
    assert gru[5:] == ["0.50000 (1)"] * 3 + ["--"]
    assert [row[5:] for row in accuracies] == [[*CHOSEN.values()], ["---"] * 3, ["50.00 (1)", "--", "50.00 (1)"]]


def test_unknown_parameters_are_a_gap(make_run: MakeRun) -> None:
    path = make_run()
    (path / "status.json").write_text(json.dumps({"state": "finished"}))
    assert rows(table([read_run(path)]))[-1][4] == "--"


def test_groups_hold_seeds_in_order_and_namesakes_show_what_differs(make_run: MakeRun) -> None:
    paths = [make_run("momentumlstm", seed, mu=mu) for mu in (0.3, 0.6) for seed in (2, 0, 1)]
    paths.append(make_run("lstm"))
    groups = group_runs(map(read_run, paths))
    assert [[run.seed for run in group.runs] for group in groups] == [[0, 1, 2], [0, 1, 2], [0]]
    assert [group.settings for group in groups] == ["mu = 0.3", "mu = 0.6", ""]
    assert [group.label for group in groups] == [
        "momentumlstm, N = 8, mu = 0.3, n = 3",
        "momentumlstm, N = 8, mu = 0.6, n = 3",
        "lstm, N = 8, n = 1",
    ]


def test_mixed_commits_are_said_aloud(make_run: MakeRun) -> None:
    runs = []
    for seed, commit in enumerate(("c0ffee0", "c0ffee0", "decade0")):
        path = make_run(seed=seed)
        (path / "environment.json").write_text(json.dumps({"commit": commit, "device": "cpu: a"}))
        runs.append(read_run(path))
    assert "MIXED COMMITS: c0ffee0 (2 runs); decade0 (1 run). device: cpu: a (3 runs)." in table(runs)
    assert "commit: c0ffee0 (2 runs)." in table(runs[:2])


def test_only_finished_runs_are_found_at_any_depth(make_run: MakeRun, tmp_path: Path) -> None:
    kept = [make_run(seed=0), make_run(seed=1, root=tmp_path / "runs" / "deeper")]
    for seed, state in enumerate(("running", "failed", "diverged", "interrupted"), start=2):
        make_run(seed=seed, state=state)
    runs, others = finished_runs(tmp_path)
    assert {run.path for run in runs} == set(kept)
    assert others == {"running": 1, "failed": 1, "diverged": 1, "interrupted": 1}
    assert [run.path for run in finished_runs(kept[0])[0]] == [kept[0]]


def test_a_copy_of_a_run_is_no_seed_more(make_run: MakeRun, tmp_path: Path) -> None:
    """`make demo` writes below runs/demo what `make table1` may have written into runs."""
    make_run(seed=0, root=tmp_path / "runs" / "demo")
    path = make_run(seed=0)
    runs, others = finished_runs(tmp_path / "runs")
    assert [run.path for run in runs] == [path]
    assert others == {"copies of runs that are counted": 1}


def test_runs_that_are_links_are_found(make_run: MakeRun, tmp_path: Path) -> None:
    elsewhere = make_run(root=tmp_path / "other disk")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / elsewhere.name).symlink_to(elsewhere, target_is_directory=True)
    assert [run.path.resolve() for run in finished_runs(tmp_path / "runs")[0]] == [elsewhere.resolve()]


def test_no_finished_run_is_an_error_that_counts_the_others(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(state="running")
    with pytest.raises(UserError, match=r"no finished run under .* \(1 unfinished\)"):
        finished_runs(tmp_path)


@pytest.mark.parametrize("name", ["identity.json", "metrics.jsonl", "status.json", ".hydra/config.yaml"])
def test_a_missing_file_is_named(make_run: MakeRun, name: str) -> None:
    path = make_run()
    (path / name).unlink()
    with pytest.raises(UserError, match=f"not a complete run folder: .*{name}"):
        read_run(path)


@pytest.mark.parametrize("content", ["{", "[]"])
@pytest.mark.parametrize("name", ["identity.json", "status.json"])
def test_a_damaged_file_is_named(make_run: MakeRun, name: str, content: str) -> None:
    path = make_run()
    (path / name).write_text(content)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        read_run(path)


@pytest.mark.parametrize("epochs_left", [0, 1])
def test_records_that_are_cut_off_are_noticed(make_run: MakeRun, epochs_left: int) -> None:
    """status.json is written after the last of them."""
    path = make_run()
    status = json.loads((path / "status.json").read_text()) | {"summary": {"final": {"epoch": 2}}}
    (path / "status.json").write_text(json.dumps(status))
    lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert read_run(path).epochs[-1]["epoch"] == 2
    (path / "metrics.jsonl").write_text("".join(lines[: 5 * epochs_left]))
    last = epochs_left or None
    with pytest.raises(UserError, match=f"metrics.jsonl is cut off: its last epoch is {last}, that of status.json 2"):
        read_run(path)
