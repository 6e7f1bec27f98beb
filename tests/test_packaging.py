"""The wheel, installed outside the checkout, finds its configurations and trains."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_code_configurations_published_numbers_and_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "momentum_exp").rglob("*.py")}
    configurations = {
        f"momentum_exp/{path.relative_to(REPOSITORY).as_posix()}" for path in (REPOSITORY / "conf").rglob("*.yaml")
    }
    tables = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "momentum_exp").rglob("*.csv")}
    assert modules | configurations | tables <= names
    assert configurations
    assert tables
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "runs/", "data/", "scripts/", "conf/"))]


def test_installed_elsewhere_it_trains(wheel: Path, tmp_path: Path) -> None:
    """The new environment sees the present one's packages, but not its editable install of this project."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    (site / "present.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--ignore-installed", wheel], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*command: str | Path) -> str:
        done = subprocess.run(
            command,
            cwd=empty,
            env={**environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert Path(call(python, "-c", "import momentum_exp; print(momentum_exp.__file__)").strip()).is_relative_to(site)
    tiny = ("cell.hidden_size=4", "trainer.max_steps=1", "data.limit=8")
    call(python.with_name("momentum-exp"), "cell=adamlstm", "data=pdigits", *tiny)
    (folder,) = (empty / "runs").iterdir()
    assert folder.name.startswith("pdigits-adamlstm-n4-seed0-")
    assert (folder / "figures" / "convergence.png").exists()
