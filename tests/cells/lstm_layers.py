"""Small layers of the LSTM with each dynamics, in float64."""

import torch

import momentum_exp as mx

CELLS = {
    "lstm": (mx.LSTM, {}),
    "momentum": (mx.MomentumLSTM, {}),
    "nesterov": (mx.NesterovLSTM, {}),
    "sr": (mx.SRLSTM, {"restart": 3}),
    "rmsprop": (mx.RMSPropLSTM, {}),
    "adam": (mx.AdamLSTM, {}),
    "sr released": (mx.SRLSTMReleased, {"restart": 3}),
}
D, H, T, B = 3, 4, 9, 2


def make(name, engine="auto", **keywords):
    cell, options = CELLS[name]
    return cell(D, H, engine=engine, dtype=torch.float64, **options, **keywords)
