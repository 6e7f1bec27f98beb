"""A new recurrence is one new file: found, configured and run by every engine that can, with no other edit."""

import subprocess
import sys

import pytest
import torch

import momentum_exp as mx
from momentum_exp.cells import applicable_options, dynamics_names, options, recurrence_names, recurrences

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
    assert applicable_options("rnn_of_a_test", "momentum") == {"gain": 1.0, "mu": 0.6, "s": 0.6}
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


def test_names_and_defaults():
    assert dynamics_names() == ["adam", "identity", "momentum", "nesterov", "rmsprop"]
    assert applicable_options("lstm", "identity") == {}
    assert applicable_options("lstm", "momentum") == {"mu": 0.6, "s": 0.6}
    assert applicable_options("lstm", "nesterov") == {"s": 1.0, "restart": 0, "reset_k_per_segment": False}
    assert applicable_options("lstm", "rmsprop") == {"s": 0.6, "beta": 0.9, "eps": "released"}
    assert applicable_options("lstm", "adam") == {"mu": 0.6, "s": 0.6, "beta": 0.1, "eps": "released"}
    assert applicable_options("srlstm_released", "identity") == {"s": 1.0, "restart": 2}
    assert mx.SRLSTM(1, 2).dynamics.restart == 2


def test_importing_the_library_imports_no_application():
    heavy = "('hydra', 'omegaconf', 'matplotlib', 'sklearn', 'torchvision', 'wandb', 'rich')"
    code = f"import sys, momentum_exp; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
