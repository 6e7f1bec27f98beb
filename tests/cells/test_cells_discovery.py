"""A new recurrence is one new file and one YAML: found, described, configured and run, with no other edit."""

import dataclasses
import re
import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf

import momentum_exp as mx
from momentum_exp.cells import applicable_options, dynamics_names, option_names, options, recurrence_names, recurrences
from momentum_exp.command_line import conf_dir
from momentum_exp.config import CellConfig
from momentum_exp.validation import CELL_OPTIONS

KEYS = {field.name: field for field in dataclasses.fields(CellConfig)}
NOT_IN_YAML = {"reset_k_per_segment"}  # about carrying state on, which is the task's business, not the cell's
NAMED = {name: cell for name, cell in vars(mx).items() if hasattr(cell, "pair")}
YAMLS = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in (conf_dir() / "cell").glob("*.yaml")}

RNN = '''
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from momentum_exp.cells.recurrences.base import Recurrence


@dataclass(frozen=True)
class RNN(Recurrence):
    """h = tanh(gain (u + U h + b_hh))."""

    name: ClassVar[str] = "rnn_of_a_test"
    gate_blocks: ClassVar[int] = 1
    gain: float = 1.0
    eps: float = 1e-8

    def step(self, u_BG, state, weights):
        pre_BG = self.gain * (u_BG + F.linear(state["h"], weights.w_hh, weights.b_hh))
        return pre_BG, {"h": pre_BG.tanh()}
'''


@pytest.fixture
def _with_rnn(tmp_path, monkeypatch):
    (tmp_path / "rnn_of_a_test.py").write_text(RNN)
    monkeypatch.setattr(recurrences, "__path__", [*recurrences.__path__, str(tmp_path)])
    options.recurrences.cache_clear()
    yield
    options.recurrences.cache_clear()
    sys.modules.pop("momentum_exp.cells.recurrences.rnn_of_a_test", None)


@pytest.mark.usefixtures("_with_rnn")
def test_a_new_recurrence_is_one_file():
    assert "rnn_of_a_test" in recurrence_names()
    assert applicable_options("rnn_of_a_test", "momentum") == {"gain": 1.0, "eps": 1e-8, "mu": 0.6, "s": 0.6}
    torch.manual_seed(0)
    layer = mx.Recurrent(3, 4, 2, recurrence="rnn_of_a_test")
    torch.manual_seed(0)
    plain = torch.nn.RNN(3, 4, 2)
    x_TBD = torch.randn(5, 2, 3)
    y_TBH, (h,) = layer(x_TBD)
    expected_TBH, expected = plain(x_TBD)
    torch.testing.assert_close(y_TBH, expected_TBH)
    torch.testing.assert_close(h, expected)
    torch.testing.assert_close(layer(x_TBD, expected)[0], plain(x_TBD, expected)[0])
    assert layer.engine == "reference"
    with pytest.raises(ValueError, match="has no effect without a forget gate"):
        mx.Recurrent(3, 4, recurrence="rnn_of_a_test", forget_bias=1.0)


# A recurrence or dynamics that is incomplete ------------------------------------------------------------------


def undescribed():
    """Classes without an equation or a source in the docstring; a dataclass without any gets its signature."""
    found = {}
    for name, part in {**options.recurrences(), **options.dynamics(), **NAMED}.items():
        text = "" if part.__doc__.startswith(f"{part.__name__}(") else part.__doc__
        lacks = [
            what for what, words in (("equation", r"\w = \S"), ("source", r"Source: \S")) if not re.search(words, text)
        ]
        if lacks:
            found[name] = lacks
    return found


def without_plain_yaml(yamls):
    """Recurrences without a YAML of their name that is the recurrence as it is by default."""
    plain = {
        name: {
            "recurrence": name,
            "dynamics": "identity",
            **{
                option: value
                for option, value in applicable_options(name, "identity").items()
                if option in set(KEYS) - NOT_IN_YAML
            },
        }
        for name in recurrence_names()
    }
    return [name for name, content in plain.items() if yamls.get(name) != content]


def wrong_yamls(yamls):
    """YAMLs whose pair does not exist or go together, or that set other options than those of the pair."""
    found = {}
    for name, content in yamls.items():
        try:
            known = set(applicable_options(content["recurrence"], content["dynamics"])) & set(KEYS) - NOT_IN_YAML
        except ValueError as error:
            found[name] = str(error)
        else:
            if set(content) != known | {"recurrence", "dynamics"}:
                found[name] = f"sets {sorted(content)}, takes {sorted(known)}"
    return found


def options_without_a_key():
    """Options that no key of `cell` sets: none of that name, a default that is not null, or a range without theirs."""
    defaults = {
        (field.name, field.default)
        for part in (*options.recurrences().values(), *options.dynamics().values())
        for field in dataclasses.fields(part)
    }
    return {
        name
        for name, value in defaults
        if name not in KEYS
        or KEYS[name].default is not None
        or not (value is None or KEYS[name].metadata["allowed"].holds(value))
    }


def test_every_class_has_an_equation_and_a_source():
    assert undescribed() == {}


def test_every_recurrence_has_a_yaml_and_every_yaml_a_cell():
    assert without_plain_yaml(YAMLS) == []
    assert wrong_yamls(YAMLS) == {}
    assert {content["dynamics"] for content in YAMLS.values()} == set(dynamics_names())


def test_every_option_is_a_key():
    assert options_without_a_key() == set()
    assert set(CELL_OPTIONS) == option_names()


@pytest.mark.usefixtures("_with_rnn")
def test_an_incomplete_recurrence_is_noticed():
    """Neither source nor YAML; an option without a key and one out of the range of its key."""
    assert undescribed() == {"rnn_of_a_test": ["source"]}
    assert without_plain_yaml(YAMLS) == ["rnn_of_a_test"]
    assert options_without_a_key() == {"gain", "eps"}
    options.recurrences()["rnn_of_a_test"].__doc__ = "RNN(gain: float = 1.0, eps: float = 1e-08)"
    assert undescribed() == {"rnn_of_a_test": ["equation", "source"]}


@pytest.mark.parametrize(
    ("name", "changed", "lacking", "wrong"),
    [
        ("lstm", {"recurrence": "lsmt"}, ["lstm"], "recurrence=lsmt is unknown"),
        ("lstm", {"dynamics": "sgd"}, ["lstm"], "dynamics=sgd is unknown"),
        ("lstm", {"dynamics": "momentum"}, ["lstm"], "takes \\['mu', 's'\\]"),
        ("srlstm_released", {"dynamics": "momentum"}, ["srlstm_released"], "write dynamics=identity"),
        ("dtriv", {"rebase": 1}, ["dtriv"], None),
        ("adamlstm", {"restart": 2}, [], "'restart'"),
    ],
)
def test_a_wrong_yaml_is_noticed(name, changed, lacking, wrong):
    yamls = {**YAMLS, name: {**YAMLS[name], **changed}}
    assert without_plain_yaml(yamls) == lacking
    found = wrong_yamls(yamls)
    assert list(found) == ([name] if wrong else [])
    assert wrong is None or re.search(wrong, found[name])


# Names --------------------------------------------------------------------------------------------------------


def test_names_and_defaults():
    assert dynamics_names() == ["adam", "identity", "momentum", "nesterov", "rmsprop"]
    assert applicable_options("lstm", "identity") == {}
    assert applicable_options("lstm", "momentum") == {"mu": 0.6, "s": 0.6}
    assert applicable_options("lstm", "nesterov") == {"s": 1.0, "restart": 0, "reset_k_per_segment": False}
    assert applicable_options("lstm", "rmsprop") == {"s": 0.6, "beta": 0.9, "eps": "released"}
    assert applicable_options("lstm", "adam") == {"mu": 0.6, "s": 0.6, "beta": 0.1, "eps": "released"}
    assert applicable_options("srlstm_released", "identity") == {"s": 1.0, "restart": 2}


def test_the_paper_s_names_are_pairs():
    prefixes = {"Momentum": "momentum", "Nesterov": "nesterov", "SR": "nesterov", "RMSProp": "rmsprop", "Adam": "adam"}
    expected = {"GRU": ("gru", "identity"), "ExpRNN": ("exprnn", "identity")}
    expected["SRLSTMReleased"] = ("srlstm_released", "identity")
    for plain in ("RNN", "LSTM", "DTRIV"):
        expected[plain] = (plain.lower(), "identity")
        expected |= {prefix + plain: (plain.lower(), dynamics) for prefix, dynamics in prefixes.items()}
    assert {name: cell.pair for name, cell in NAMED.items()} == expected
    assert set(NAMED) <= set(mx.__all__)
    for name, cell in NAMED.items():
        layer = cell(1, 2)
        assert (layer.recurrence.name, layer.dynamics.name) == expected[name]
        restart = 2 if name.startswith("SR") else 0
        assert getattr(layer.dynamics, "restart", restart) == restart
    assert mx.SRDTRIV(1, 2, restart=5, rebase=1).dynamics.restart == 5
    with pytest.raises(ValueError, match="rebase=1 has no effect"):
        mx.SRLSTM(1, 2, rebase=1)


def test_importing_the_library_imports_no_application():
    heavy = "('hydra', 'omegaconf', 'matplotlib', 'sklearn', 'torchvision', 'wandb', 'rich')"
    code = f"import sys, momentum_exp; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
