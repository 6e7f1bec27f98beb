"""What a command comes to: groups, specialisations, overrides, and all that Hydra's users expect."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from momentum_exp.command_line import conf_dir, register_resolvers
from momentum_exp.config import register


def composed(*overrides: str) -> DictConfig:
    register()
    register_resolvers()
    with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


LSTM = {"recurrence": "lstm", "dynamics": "identity", "mu": None, "s": None, "beta": None, "restart": None}
MOMENTUM, ADAM = {"dynamics": "momentum"}, {"dynamics": "adam"}
RMSPROP, NESTEROV = {"dynamics": "rmsprop"}, {"dynamics": "nesterov"}
RELEASED = {"recurrence": "srlstm_released"}

# The settings behind Table 1 of the paper, from the release's recipes.
TABLE_1 = {
    "mnist_lstm_n128": {},
    "mnist_lstm_n256": {},
    "mnist_momentumlstm_n128": MOMENTUM | {"mu": 0.6, "s": 0.6},
    "mnist_momentumlstm_n256": MOMENTUM | {"mu": 0.6, "s": 0.6},
    "mnist_adamlstm_n256": ADAM | {"mu": 0.6, "s": 0.6, "beta": 0.1},
    "mnist_rmsproplstm_n256": RMSPROP | {"s": 0.6, "beta": 0.9},
    "mnist_srlstm_n256": NESTEROV | {"s": 1.0, "restart": 2},
    "mnist_srlstm_released_n256": RELEASED | {"s": 1.0, "restart": 2},
    "pmnist_lstm_n128": {},
    "pmnist_lstm_n256": {},
    "pmnist_momentumlstm_n128": MOMENTUM | {"mu": 0.6, "s": 1.0},
    "pmnist_momentumlstm_n256": MOMENTUM | {"mu": 0.6, "s": 1.0},
    "pmnist_adamlstm_n256": ADAM | {"mu": 0.6, "s": 1.0, "beta": 0.01},
    "pmnist_rmsproplstm_n256": RMSPROP | {"s": 1.0, "beta": 0.01},
    "pmnist_srlstm_n256": NESTEROV | {"s": 0.9, "restart": 40},
    "pmnist_srlstm_released_n256": RELEASED | {"s": 0.9, "restart": 40},
}


def check_row(config: DictConfig, name: str) -> None:
    permuted, size = name.startswith("p"), int(name.rsplit("_n", 1)[1])
    assert {key: config.cell[key] for key in LSTM} == LSTM | TABLE_1[name]
    assert (config.cell.hidden_size, config.cell.num_layers, config.cell.init) == (size, 1, "released")
    assert config.data.name == "mnist"
    assert config.data.permutation == ("released" if permuted else None)
    assert config.data.validation == 0
    trainer, optimizer = config.trainer, config.optimizer
    assert (trainer.batch_size, trainer.epochs, trainer.clip_norm, trainer.max_steps) == (128, 150, 1.0, None)
    assert (optimizer.name, optimizer.lr, optimizer.alpha, optimizer.momentum) == ("rmsprop", 0.001, 0.9, 0.0)


@pytest.mark.parametrize("name", TABLE_1)
def test_an_experiment_is_its_row_of_table_1(name: str) -> None:
    check_row(composed(f"experiment={name}"), name)


@pytest.mark.parametrize("name", [name for name in TABLE_1 if name.endswith("_n256")])
def test_cell_and_data_alone_are_the_same_row(name: str) -> None:
    data, cell = name.removesuffix("_n256").split("_", 1)
    check_row(composed(f"cell={cell}", f"data={data}"), name)
    check_row(composed(f"data={data}", f"cell={cell}"), name)


def test_every_row_has_its_file_and_says_what_it_reproduces() -> None:
    files = {path.stem: path.read_text() for path in (conf_dir() / "experiment").glob("*.yaml")}
    assert set(TABLE_1) <= set(files)
    for text in files.values():
        assert "# Reproduces: " in text
        assert "# Published: " in text
        assert re.search(r"# Measured: about [\d.]+ minutes an epoch on 2 CPU cores", text)


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        ("", "cell.dynamics", "momentum"),
        ("", "data.name", "digits"),
        ("", "cell.hidden_size", 64),
        ("", "trainer.epochs", 30),
        ("cell=momentumlstm data=pmnist cell.s=0.3", "cell.s", 0.3),
        ("cell=momentumlstm data=pmnist trainer.epochs=3", "trainer.epochs", 3),
        ("cell.hidden_size=8 data=pmnist", "cell.hidden_size", 8),
        ("experiment=pmnist_momentumlstm_n128 cell.hidden_size=8", "cell.hidden_size", 8),
        ("experiment=pmnist_momentumlstm_n128 cell.mu=0.9", "cell.mu", 0.9),
        ("experiment=pmnist_momentumlstm_n128 optimizer=adam", "optimizer.name", "adam"),
        ("optimizer=adam optimizer.lr=0.1", "optimizer.lr", 0.1),
        ("data=pdigits", "data.permutation", "fixed"),
        ("data=pdigits", "cell.hidden_size", 64),
        ("data=digits protocol=mnist", "trainer.epochs", 150),
        ("cell=srlstm", "cell.restart", 2),
        ("cell=momentumlstm data=digits", "cell.s", 0.6),
    ],
)
def test_what_an_override_comes_to(overrides: str, key: str, value: Any) -> None:
    assert OmegaConf.select(composed(*overrides.split()), key) == value


def test_paths_come_from_the_environment_and_an_override_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOMENTUM_EXP_DATA", raising=False)
    assert composed().paths.data == "data"
    monkeypatch.setenv("MOMENTUM_EXP_DATA", "elsewhere")
    assert composed().paths.data == "elsewhere"
    assert composed("paths.data=here").paths.data == "here"


def test_showing_the_configuration_runs_nothing(command_line: Any, tmp_path: Path) -> None:
    done = command_line("cell=momentumlstm", "data=pmnist", "--cfg", "job", "--resolve")
    assert (done.returncode, done.stderr) == (0, "")
    shown = OmegaConf.create(done.stdout)
    assert (shown.cell.mu, shown.cell.s, shown.cell.hidden_size, shown.trainer.epochs) == (0.6, 1.0, 256, 150)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--help"], ["cell: adam", "experiment: "]),
        (["--info", "defaults"], ["Defaults List", "cell/momentumlstm"]),
    ],
)
def test_help_and_info(command_line: Any, tmp_path: Path, flags: list[str], expected: list[str]) -> None:
    done = command_line(*flags)
    assert (done.returncode, done.stderr) == (0, "")
    for text in expected:
        assert text in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_ones_own_adds_a_cell(command_line: Any, tmp_path: Path) -> None:
    own = tmp_path / "own" / "cell"
    own.mkdir(parents=True)
    (own / "slowlstm.yaml").write_text("recurrence: lstm\ndynamics: momentum\nmu: 0.9\ns: 0.1\n")
    tiny = ("cell.hidden_size=4", "trainer.max_steps=1", "data.limit=8", "diagnostics=none")
    done = command_line("cell=slowlstm", "--config-dir", "own", *tiny)  # a flag between overrides
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    kept = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert (kept.cell.mu, kept.cell.s) == (0.9, 0.1)


def test_the_console_script_and_its_completion(tmp_path: Path) -> None:
    script = shutil.which("momentum-exp", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert script, "the package is not installed"
    for arguments, expected in (
        (["-sc", "install=bash"], "complete "),
        (["--cfg", "job"], "dynamics: momentum"),
    ):
        done = subprocess.run([script, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    line = subprocess.run(
        [script, "-sc", "query=bash"],
        cwd=tmp_path,
        env={**os.environ, "COMP_LINE": "momentum-exp cell=momen", "COMP_POINT": "23"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert line.stdout.split() == ["cell=momentumdtriv", "cell=momentumlstm", "cell=momentumrnn"]
    assert list(tmp_path.iterdir()) == []
