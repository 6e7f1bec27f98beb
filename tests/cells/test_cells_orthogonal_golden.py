"""ExpRNN and MomentumDTRIV equal the cells that the paper's authors released: outputs and gradients (float64)."""

from pathlib import Path

import numpy as np
import pytest
import torch

import momentum_exp as mx
from momentum_exp.cells.constraints.skew import skew

FOLDER = Path(__file__).parents[1] / "golden"
CELLS = {"exprnn": ("exprnn", "identity"), "momentumdtriv": ("dtriv", "momentum")}
PARAMETERS = {"weight_ih_l0": "input_kernel.weight", "bias_modrelu_l0": "nonlinearity.b"}
D, H = 5, 8
UPPER = tuple(torch.triu_indices(H, H, 1))


class Case:
    """A released cell's vectors, our layer with its parameters after backward, its loss, and B with its gradient."""

    def __init__(self, name):
        with np.load(FOLDER / f"golden_{name}.npz", allow_pickle=False) as file:
            self.vectors = vectors = {key: torch.from_numpy(np.array(file[key])) for key in file.files}
        recurrence, dynamics = CELLS[name]
        hyper = {key[3:]: value.item() for key, value in vectors.items() if key.startswith("hp.")}
        self.layer = mx.Recurrent(D, H, recurrence=recurrence, dynamics=dynamics, dtype=torch.float64, **hyper)
        weights = {ours: vectors[f"p.{released}"] for ours, released in PARAMETERS.items()}
        weights["weight_hh_l0.A"] = vectors["p.recurrent_kernel.A"][UPPER]
        if recurrence == "dtriv":
            weights |= {"weight_hh_l0.base": vectors["base"], "weight_hh_l0.steps": torch.tensor(0)}
        self.layer.load_state_dict(weights)
        made = []

        def keep(_module, _arguments, w_hh):
            w_hh.retain_grad()
            made.append(w_hh)

        self.layer.weight_hh_l0.register_forward_hook(keep)
        self.x_TBD = vectors["x"].requires_grad_()
        self.y_TBH, _ = self.layer(self.x_TBD)
        self.loss = (self.y_TBH[-1] * vectors["R"]).sum() + 0.1 * (self.y_TBH**2).sum()
        self.loss.backward()
        (w_hh,) = made
        self.b_HH, self.gradient_of_b_HH = w_hh.detach().T, w_hh.grad.T
        self.gradient_of_a = self.layer.weight_hh_l0.A.grad


def close(ours, released, atol=1e-10):
    torch.testing.assert_close(ours, released, rtol=1e-10, atol=atol)


@pytest.mark.parametrize("name", CELLS)
def test_equals_the_released_cell(name):
    """ExpRNN as far as the release's own exponential, an approximation, allows: its B is off by about 3e-13."""
    case = Case(name)
    close(case.b_HH, case.vectors["B"])
    close(case.y_TBH, case.vectors["out"])
    close(case.loss, case.vectors["loss"])
    close(case.x_TBD.grad, case.vectors["grad_x"])
    for ours, released in PARAMETERS.items():
        close(getattr(case.layer, ours).grad, case.vectors[f"g.{released}"])


def test_the_gradient_of_exprnn_s_skew_entries():
    case = Case("exprnn")
    close(case.gradient_of_a, case.vectors["g.recurrent_kernel.A"][UPPER])


def test_the_gradient_of_dtriv_s_skew_entries_is_taken_at_zero():
    """Ours is that of B = base expm(A - A^T) at A = 0. The release's, on the step of a re-basing, is not.

    There base is new already and A still what it was, a_0 with expm(a_0) = base on the first step.
    """
    case = Case("momentumdtriv")
    assert not case.layer.weight_hh_l0.A.any()
    base_HH = case.vectors["base"]
    close(base_HH, case.vectors["B"])
    cotangent_HH = base_HH.T @ case.gradient_of_b_HH
    close(case.gradient_of_a, (cotangent_HH - cotangent_HH.T)[UPPER])

    a_HH = torch.zeros(H, H, dtype=torch.float64)
    for i in range(0, H, 2):
        a_HH[i, i + 1] = torch.atan2(base_HH[i, i + 1], base_HH[i, i])
    a = a_HH[UPPER].requires_grad_()
    rotation_HH = torch.matrix_exp(skew(a, H))
    close(rotation_HH, base_HH)
    (released,) = torch.autograd.grad(rotation_HH, a, cotangent_HH)
    golden = case.vectors["g.recurrent_kernel.A"][UPPER]
    assert golden.abs().max() > 1e3
    close(released, golden, atol=1e-6)
    assert (case.gradient_of_a - golden).abs().max() > 1
