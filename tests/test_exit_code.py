"""How a command ends: a mistake, a reader that has seen enough, anything else."""

import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from momentum_exp.errors import UserError
from momentum_exp.exit_code import DONE, INTERRUPTED, MISTAKEN, answering


def test_a_mistake_is_one_message_and_the_exit_code_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, answering("momentum_exp.runs"):
        raise UserError("runs=nowhere is no folder")
    assert ended.value.code == MISTAKEN
    assert capsys.readouterr() == ("", "momentum_exp.runs: error: runs=nowhere is no folder\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_clears_up_and_is_said(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts jobs in the background with it ignored
    former = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, answering("prepare_timit.py"), TemporaryDirectory(dir=tmp_path):
        signal.raise_signal(number)
    assert list(tmp_path.iterdir()) == []
    assert ended.value.code == INTERRUPTED
    assert capsys.readouterr().err == "prepare_timit.py: interrupted; the same command goes on.\n"
    assert signal.getsignal(number) == former


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), answering("momentum_exp.runs"):
        raise KeyError("seed")


@pytest.mark.parametrize("characters", [10, 1_000_000])  # what one buffer holds is written at the end alone
def test_a_reader_that_has_seen_enough_ends_nothing(characters: int, tmp_path: Path) -> None:
    after = tmp_path / "after"
    code = (
        "from pathlib import Path; from momentum_exp.exit_code import answering\n"
        f"with answering('list'): print('x' * {characters}); print('x', flush=True); Path({str(after)!r}).touch()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout
        assert command.stderr
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == DONE
    assert after.exists()
