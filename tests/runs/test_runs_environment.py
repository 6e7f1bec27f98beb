"""What a run says of the code it ran with."""

import shutil
import subprocess
from pathlib import Path

import pytest

from momentum_exp.runs import environment


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_code_and_configuration_make_a_checkout_dirty_and_results_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        names = ("-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(tmp_path), *names, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    for folder in ("momentum_exp/runs", "conf/table", "results"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("momentum_exp/runs/environment.py", "conf/table/table1.yaml"):
        (tmp_path / file).write_text("one")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "momentum_exp" / "runs" / "environment.py"))
    assert environment.commit() == {"commit": None, "dirty": None}
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "m")
    (tmp_path / "results" / "table1.md").write_text("new")
    assert environment.commit() == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    for file in ("conf/table/table1.yaml", "momentum_exp/new.py"):
        (tmp_path / file).write_text("two")
        assert environment.commit()["dirty"] is True
        git("stash", "--include-untracked", "--quiet")
