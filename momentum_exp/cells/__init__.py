"""Recurrent cells whose input drive is accelerated: dynamics x recurrence. Imports only torch."""

from momentum_exp.cells.constraints.base import after_step
from momentum_exp.cells.layer import Recurrent
from momentum_exp.cells.named import (
    LSTM,
    SRLSTM,
    AdamLSTM,
    MomentumLSTM,
    NesterovLSTM,
    RMSPropLSTM,
    SRLSTMReleased,
)
from momentum_exp.cells.options import applicable_options, dynamics_names, option_names, recurrence_names
from momentum_exp.cells.parameters import parameter_groups
from momentum_exp.cells.state import State

__all__ = [
    "LSTM",
    "SRLSTM",
    "AdamLSTM",
    "MomentumLSTM",
    "NesterovLSTM",
    "RMSPropLSTM",
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
