"""Which engine runs which cell."""

import pytest
import torch

import momentum_exp as mx
from momentum_exp.cells import dynamics_names, recurrence_names
from momentum_exp.engines import engines, resolve_engine
from momentum_exp.engines.library import no_tf32


@pytest.mark.parametrize("dynamics", dynamics_names())
def test_auto_takes_the_library_where_torch_has_a_kernel(dynamics):
    fast_on_cpu = "reference" if dynamics in ("adam", "rmsprop") else "library"
    assert resolve_engine("lstm", dynamics) == fast_on_cpu
    assert resolve_engine("lstm", dynamics, device_type="cuda") == "library"
    assert resolve_engine("lstm", dynamics, "reference") == "reference"


def test_auto_falls_back_to_the_reference():
    assert resolve_engine("srlstm_released", "identity", "auto") == "reference"
    assert mx.SRLSTMReleased(1, 2).engine == "reference"


def test_an_engine_that_can_t_says_why():
    with pytest.raises(ValueError, match=r"engine=library can't run recurrence=srlstm_released.*no fused kernel"):
        resolve_engine("srlstm_released", "identity", "library")


def test_every_pair_that_goes_together_has_an_engine():
    assert list(engines()) == ["library", "reference"]
    for recurrence in recurrence_names():
        for dynamics in dynamics_names():
            if recurrence == "srlstm_released" and dynamics != "identity":
                with pytest.raises(ValueError, match="write dynamics=identity"):
                    resolve_engine(recurrence, dynamics)
            else:
                assert resolve_engine(recurrence, dynamics) in engines()


def test_tf32_is_off_only_inside():
    rnn = torch.backends.cudnn.rnn
    before = rnn.fp32_precision
    with no_tf32():
        assert rnn.fp32_precision == "ieee"
    assert rnn.fp32_precision == before
