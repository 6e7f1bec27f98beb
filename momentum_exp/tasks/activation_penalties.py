"""What AWD-LSTM adds to the loss about the last layer's outputs (Merity, McCann and Socher 2017)."""

from torch import Tensor


def activation_penalty(h_BTH: Tensor) -> Tensor:
    """AR: the mean square of the outputs, as dropout has left them."""
    return h_BTH.square().mean()


def change_penalty(h_BTH: Tensor) -> Tensor:
    """TAR: the mean square of the outputs' change from one step to the next, before dropout; 0 for a single step."""
    change_BTH = h_BTH[:, 1:] - h_BTH[:, :-1]
    return change_BTH.square().sum() / max(1, change_BTH.numel())
