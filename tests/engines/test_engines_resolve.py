"""Which engine runs which cell."""

import pytest
import torch

import momentum_exp as mx
from momentum_exp.cells import dynamics_names, recurrence_names
from momentum_exp.cells.options import build, dynamics, recurrences
from momentum_exp.engines import engines, native, resolve_engine
from momentum_exp.engines.library import no_tf32


def resolve(recurrence, dynamics, *wanted, learned=False, **options):
    return resolve_engine(*build(recurrence, dynamics, options), *wanted, learned=learned)


@pytest.fixture
def no_native(monkeypatch):
    """As on a machine without a compiler."""
    monkeypatch.setattr(native, "reason_unavailable", lambda: "there is no C++ compiler")


@pytest.mark.parametrize("dynamics", dynamics_names())
def test_auto_takes_the_compiled_kernel_on_a_cpu(dynamics):
    for recurrence in ("lstm", "rnn", "dtriv"):
        assert resolve(recurrence, dynamics) == "native"
        assert resolve(recurrence, dynamics, "auto", "cuda") == ("reference" if recurrence == "dtriv" else "library")
    assert resolve("srlstm_released", "identity") == "native"


@pytest.mark.usefixtures("no_native")
@pytest.mark.parametrize("dynamics", dynamics_names())
def test_auto_takes_the_library_where_torch_has_a_kernel(dynamics):
    fast_on_cpu = "reference" if dynamics in ("adam", "rmsprop") else "library"
    for recurrence in ("lstm", "rnn"):
        assert resolve(recurrence, dynamics) == fast_on_cpu
        assert resolve(recurrence, dynamics, "auto", "cuda") == "library"
        assert resolve(recurrence, dynamics, "reference") == "reference"


@pytest.mark.usefixtures("no_native")
def test_auto_falls_back_to_the_reference():
    assert resolve("srlstm_released", "identity", "auto") == "reference"
    assert mx.SRLSTMReleased(1, 2).engine == "reference"
    assert resolve("rnn", "identity", activation="sigmoid") == "reference"
    assert resolve("lstm", "momentum", learned=True) == "reference"
    with pytest.raises(ValueError, match=r"engine=native can't run .*: there is no C\+\+ compiler; write engine=auto"):
        resolve("lstm", "momentum", "native")


def test_auto_runs_what_has_no_kernel_by_the_reference():
    assert resolve("lstm", "momentum", learned=True) == "reference"


def test_an_engine_that_can_t_says_why():
    with pytest.raises(ValueError, match=r"engine=library can't run recurrence=srlstm_released.*no fused kernel"):
        resolve("srlstm_released", "identity", "library")
    with pytest.raises(ValueError, match=r"engine=library can't run .* a learned mu, s or beta needs"):
        resolve("lstm", "momentum", "library", learned=True)
    with pytest.raises(ValueError, match=r"engine=native can't run .*: it is for CPUs, not cuda"):
        resolve("lstm", "momentum", "native", "cuda")


def test_every_pair_that_goes_together_has_an_engine():
    assert list(engines()) == ["cudagraph", "library", "native", "reference"]
    for recurrence in recurrence_names():
        for name in dynamics_names():
            if recurrence == "srlstm_released" and name != "identity":
                with pytest.raises(ValueError, match="write dynamics=identity"):
                    resolve(recurrence, name)
            else:
                engine = resolve(recurrence, name)
                assert engines()[engine].refusal(recurrences()[recurrence](), dynamics()[name](), False, "cpu") is None


def test_tf32_is_off_only_inside():
    rnn = torch.backends.cudnn.rnn
    before = rnn.fp32_precision
    with no_tf32():
        assert rnn.fp32_precision == "ieee"
    assert rnn.fp32_precision == before
