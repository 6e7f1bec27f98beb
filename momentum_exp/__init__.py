"""Momentum cells as a library, and the experiments of MomentumRNN built on them.

    import momentum_exp as mx
    layer = mx.MomentumLSTM(input_size=1, hidden_size=128, mu=0.6, s=0.6)   # called like torch.nn.LSTM
    y, state = layer(x)

Importing this package imports torch and nothing else; `mx.load_run(RUN)`, a trained run with its model, imports the
rest when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from momentum_exp.cells import (
    DTRIV,
    GRU,
    LSTM,
    RNN,
    SRDTRIV,
    SRLSTM,
    SRRNN,
    AdamDTRIV,
    AdamLSTM,
    AdamRNN,
    ExpRNN,
    MomentumDTRIV,
    MomentumLSTM,
    MomentumRNN,
    NesterovDTRIV,
    NesterovLSTM,
    NesterovRNN,
    Recurrent,
    RMSPropDTRIV,
    RMSPropLSTM,
    RMSPropRNN,
    SRLSTMReleased,
    State,
    after_step,
    parameter_groups,
)

if TYPE_CHECKING:
    from momentum_exp.runs.load import load_run as load_run  # not in __all__: a star import stays light

__all__ = [
    "DTRIV",
    "GRU",
    "LSTM",
    "RNN",
    "SRDTRIV",
    "SRLSTM",
    "SRRNN",
    "AdamDTRIV",
    "AdamLSTM",
    "AdamRNN",
    "ExpRNN",
    "MomentumDTRIV",
    "MomentumLSTM",
    "MomentumRNN",
    "NesterovDTRIV",
    "NesterovLSTM",
    "NesterovRNN",
    "RMSPropDTRIV",
    "RMSPropLSTM",
    "RMSPropRNN",
    "Recurrent",
    "SRLSTMReleased",
    "State",
    "after_step",
    "parameter_groups",
]


def __getattr__(name: str) -> Any:
    """`load_run`, when it is first asked for."""
    if name == "load_run":
        from momentum_exp.runs.load import load_run

        return load_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
