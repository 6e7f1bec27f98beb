"""Recurrent cells whose input drive is accelerated: dynamics x recurrence. Imports only torch."""

from momentum_exp.cells.constraints.base import after_step
from momentum_exp.cells.layer import Recurrent
from momentum_exp.cells.named import (
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
    RMSPropDTRIV,
    RMSPropLSTM,
    RMSPropRNN,
    SRLSTMReleased,
)
from momentum_exp.cells.options import applicable_options, dynamics_names, option_names, recurrence_names
from momentum_exp.cells.parameters import parameter_groups
from momentum_exp.cells.state import State

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
    "applicable_options",
    "dynamics_names",
    "option_names",
    "parameter_groups",
    "recurrence_names",
]
