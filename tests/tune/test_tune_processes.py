"""A study is the same by however many processes it is done, and whichever of them are killed."""

import contextlib
import random
import signal
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState
from tuning_command import SPACE, Tuning, tried

from momentum_exp.tune import study as study_module
from momentum_exp.tune.options import read_command
from momentum_exp.tune.study import TuningStudy


def test_killed_and_interrupted_a_study_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    often = (*SPACE, "trainer.checkpoint_seconds=0", "trainer.epochs=8", "trials=3", "pruner=none")
    tuning, undisturbed = Tuning(tmp_path / "killed", *often), Tuning(tmp_path / "whole", *often)
    moments = random.Random(0)
    for number, sent in ((2, signal.SIGKILL), (3, signal.SIGINT)):
        process = tuning.start()
        tuning.wait_for_run(number, process)
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(sent)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (130 if sent == signal.SIGINT else -sent), errors
        assert tuning.trials()[-1].state == TrialState.RUNNING
    assert errors.endswith("the same command goes on.\n")
    tuning.do()
    undisturbed.do()
    assert tried(tuning.trials()) == tried(undisturbed.trials())
    assert len(list((tmp_path / "killed").glob("*seed0*"))) == 3


def test_two_processes_share_a_study(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path, "cell.s=range(0.1,0.35,0.1)", "trials=8", "pruner=none")
    processes = [tuning.start(), tuning.start()]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    done = [{int(line.split()[1][:-1]) for line in out.splitlines() if line.startswith("trial ")} for out, _ in outputs]
    assert done[0] | done[1] == set(range(8))
    assert not done[0] & done[1]
    trials = tuning.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8
    assert len({(trial.params["cell.s"], trial.value) for trial in trials}) == len(list(tmp_path.glob("*seed0*"))) <= 3


def test_a_trial_that_takes_its_processes_down_counts_as_failed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = read_command(["cell.s=0.3,0.6", "trials=1"]).options
    taken = 0
    while True:
        with contextlib.suppress(SystemExit), TuningStudy(tmp_path, options, higher=True).next_trial() as trial:
            if trial is None:
                break
            taken += 1
            raise SystemExit
    assert taken == 1 + study_module.MOST_DEATHS
    assert [t.state for t in TuningStudy(tmp_path, options, higher=True).trials()] == [TrialState.FAIL]
