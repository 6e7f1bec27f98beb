"""The cells that have a name of their own: pairs of a recurrence and a dynamics."""

from typing import Any, ClassVar

from momentum_exp.cells.layer import Recurrent


class _Named(Recurrent):
    """A pair by name; arguments and options are those of `Recurrent`."""

    pair: ClassVar[tuple[str, str]]
    preset: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Any,
    ) -> None:
        recurrence, dynamics = self.pair
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            recurrence=recurrence,
            dynamics=dynamics,
            **{**self.preset, **options},
        )


class LSTM(_Named):
    """The plain cell, equal to torch.nn.LSTM. Net forget bias with `init="released"`: 1 + 1."""

    pair = ("lstm", "identity")


class MomentumLSTM(_Named):
    """v = mu v + s (W x + b_ih) ; pre = v + U h + b_hh ; then the LSTM. Options mu (0.6), s (0.6).

    Paper, section 2. The paper puts momentum on W x alone; the released code, followed here, on W x + b_ih, so
    the forget gate's net bias grows to b_ih s / (1 - mu) + b_hh. (mu 0, s 1) is the LSTM.
    """

    pair = ("lstm", "momentum")


class NesterovLSTM(_Named):
    """v = mu_k v + s (W x + b_ih) ; pre = v + U h + b_hh ; mu_k = (k-1)/(k+2), k = 1, 2, .. ; then the LSTM.

    Options s (1.0), restart (0: none), reset_k_per_segment (False).
    """

    pair = ("lstm", "nesterov")


class SRLSTM(_Named):
    """NesterovLSTM with scheduled restart: k = 1, 2, .., F, 1, .. Options s (1.0), restart (F, 2).

    As in the paper and the released PTB code. The released MNIST and TIMIT commands run `SRLSTMReleased`.
    """

    pair = ("lstm", "nesterov")
    preset: ClassVar[dict[str, Any]] = {"restart": 2}


class RMSPropLSTM(_Named):
    """m = beta m + (1-beta) g^2 ; u = s g / sqrt(m + eps), g = W x + b_ih. Options s (0.6), beta (0.9), eps.

    eps `released`: 1e-16 inside the root; `paper`: 1e-8 outside. The released code runs AdamLSTM with mu = 0.
    """

    pair = ("lstm", "rmsprop")


class AdamLSTM(_Named):
    """v = mu v + s g ; m = beta m + (1-beta) g^2 ; u = v / sqrt(m + eps), g = W x + b_ih. No bias correction.

    Options mu (0.6), s (0.6), beta (0.1), eps: `released` (1e-16 inside the root) or `paper` (1e-8 outside).
    """

    pair = ("lstm", "adam")


class SRLSTMReleased(_Named):
    """y_t = U h + b_hh - s (W x + b_ih) ; pre = y_t + mu_k (y_t - y_{t-1}) ; then the LSTM.

    What the released MNIST and TIMIT commands run as SRLSTM; not the paper's cell. Options s (1.0), restart (2).
    """

    pair = ("srlstm_released", "identity")
