"""Momentum cells as a library, and the experiments of MomentumRNN built on them.

    import momentum_exp as mx
    layer = mx.MomentumLSTM(input_size=1, hidden_size=128, mu=0.6, s=0.6)   # called like torch.nn.LSTM
    y, state = layer(x)

Importing this package imports torch and nothing else.
"""

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
