"""The exponential of a skew-symmetric matrix by its eigenvalues: exact, and its backward costs as its forward."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _SkewExponential(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(skew_HH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        angle_H, q_HH = torch.linalg.eigh(-1j * skew_HH)
        p_HH, r_HH = _halves(angle_H, q_HH)
        return (p_HH @ r_HH.mH).real, angle_H, q_HH

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*output[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient_HH = gradients[0]
        angle_H, q_HH = ctx.saved_tensors
        p_HH, r_HH = _halves(angle_H, q_HH)
        sinc_HH = torch.sinc((angle_H[:, None] - angle_H) / (2 * torch.pi))
        inner_HH = sinc_HH * (p_HH.mH @ gradient_HH.to(q_HH.dtype) @ r_HH)
        result_HH: Tensor = (q_HH @ inner_HH @ q_HH.mH).real
        return result_HH


def _halves(angle_H: Tensor, q_HH: Tensor) -> tuple[Tensor, Tensor]:
    """P = Q e^{i a / 2} and R = Q e^{-i a / 2}, where S = Q i a Q^H: then e^S = P R^H."""
    half_H = torch.polar(torch.ones_like(angle_H), angle_H / 2)
    return q_HH * half_H, q_HH * half_H.conj()


def skew_exponential(skew_HH: Tensor) -> Tensor:
    """e^S of a real skew-symmetric S (H, H), which is not checked; orthogonal to rounding; differentiable once.

    With S = Q diag(i a) Q^H, from the Hermitian -i S, e^S = Q diag(e^{i a}) Q^H. The backward, of a gradient G, is
    Q (conj K o Q^H G Q) Q^H (Daleckii and Krein), o entry by entry, with the divided differences of exp

        K_jk = (e^{i a_j} - e^{i a_k}) / (i a_j - i a_k) = e^{i (a_j + a_k) / 2} sinc((a_j - a_k) / 2)

    for which equal eigenvalues are no special case. torch.matrix_exp's backward exponentiates a (2H, 2H) matrix.
    """
    rotation_HH: Tensor
    rotation_HH, _, _ = _SkewExponential.apply(skew_HH)
    return rotation_HH
