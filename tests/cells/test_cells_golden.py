"""Outputs and all gradients equal those of the cells that the paper's authors released (float64 vectors)."""

from pathlib import Path

import numpy as np
import pytest
import torch

import momentum_exp as mx

FOLDER = Path(__file__).parents[1] / "golden"
CELLS = {
    "lstm": mx.LSTM,
    "momentumlstm": mx.MomentumLSTM,
    "srlstm_paper": mx.SRLSTM,
    "srlstm_code": mx.SRLSTMReleased,
    "adamlstm": mx.AdamLSTM,
}
NAMES = {
    "weight_ih_l0": ("x2h.weight", "weight_ih"),
    "weight_hh_l0": ("h2h.weight", "weight_hh"),
    "bias_ih_l0": ("x2h.bias", "bias_ih"),
    "bias_hh_l0": ("h2h.bias", "bias_hh"),
}
HYPER = {"mu": "mu", "s": "s", "beta": "beta", "F": "restart"}
CASES = [(name, "reference") for name in CELLS] + [(name, "library") for name in CELLS if name != "srlstm_code"]


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_equals_the_released_cell(name, engine):
    with np.load(FOLDER / f"golden_{name}.npz", allow_pickle=False) as file:
        vectors = {key: torch.from_numpy(np.array(file[key])) for key in file.files}

    def released(prefix, parameter):
        return next(vectors[f"{prefix}.{key}"] for key in NAMES[parameter] if f"{prefix}.{key}" in vectors)

    hyper = {HYPER[key[3:]]: value.item() for key, value in vectors.items() if key.startswith("hp.")}
    layer = CELLS[name](5, 8, engine=engine, dtype=torch.float64, **hyper)
    layer.load_state_dict({parameter: released("p", parameter) for parameter in NAMES})
    x_TBD = vectors["x"].requires_grad_()

    y_TBH, _ = layer(x_TBD)
    loss = (y_TBH[-1] * vectors["R"]).sum() + 0.1 * (y_TBH**2).sum()
    loss.backward()

    exact = {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(y_TBH, vectors["out"], **exact)
    torch.testing.assert_close(loss, vectors["loss"], **exact)
    torch.testing.assert_close(x_TBD.grad, vectors["grad_x"], **exact)
    for parameter in NAMES:
        torch.testing.assert_close(getattr(layer, parameter).grad, released("g", parameter), **exact)
