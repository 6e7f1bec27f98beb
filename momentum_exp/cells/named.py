"""The cells that have a name of their own: pairs of a recurrence and a dynamics, g = W x + b_ih in all of them."""

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


class RNN(_Named):
    """h = tanh(g + U h + b_hh): equal to torch.nn.RNN. Option activation ("tanh", "relu" or "sigmoid").

    Source: the paper, equation (1).
    """

    pair = ("rnn", "identity")


class MomentumRNN(_Named):
    """v = mu v + s g ; h = tanh(v + U h + b_hh). Options mu (0.6), s (0.6) and RNN's.

    Source: the paper, section 2, which writes no biases beside W x. The release has no such cell.
    """

    pair = ("rnn", "momentum")


class NesterovRNN(_Named):
    """v = mu_k v + s g ; h = tanh(v + U h + b_hh) ; mu_k = (k-1)/(k+2), k = 1, 2, ..

    Options s (1.0), restart (0: none), reset_k_per_segment (False) and RNN's. Source: the paper, section 3.
    """

    pair = ("rnn", "nesterov")


class SRRNN(_Named):
    """NesterovRNN with scheduled restart: k = 1, 2, .., F, 1, .. Options as there, but restart (F, 2).

    Source: the paper, section 3.
    """

    pair = ("rnn", "nesterov")
    preset: ClassVar[dict[str, Any]] = {"restart": 2}


class RMSPropRNN(_Named):
    """m = beta m + (1-beta) g^2 ; h = tanh(s g / sqrt(m + eps) + U h + b_hh).

    Options s (0.6), beta (0.9), eps ("released": 1e-16 inside the root; "paper": 1e-8 outside) and RNN's.
    Source: the paper, section 3.
    """

    pair = ("rnn", "rmsprop")


class AdamRNN(_Named):
    """v = mu v + s g ; m = beta m + (1-beta) g^2 ; h = tanh(v / sqrt(m + eps) + U h + b_hh).

    Options mu (0.6), s (0.6), beta (0.1), eps ("released" or "paper", see RMSPropRNN) and RNN's.
    Source: the paper, section 3.
    """

    pair = ("rnn", "adam")


class LSTM(_Named):
    """pre = g + U h + b_hh ; c = f c + i c' ; h = o tanh(c) ; i, f, c', o from pre: equal to torch.nn.LSTM.

    Source: the released code; the paper's equation (2) has no forget gate. Net forget bias with init="released": 1 + 1.
    """

    pair = ("lstm", "identity")


class MomentumLSTM(_Named):
    """v = mu v + s g ; pre = v + U h + b_hh ; then the LSTM. Options mu (0.6), s (0.6).

    Source: the paper, section 2, which puts momentum on W x alone; the released code, followed here, on W x + b_ih,
    so the forget gate's net bias grows to b_ih s / (1 - mu) + b_hh. (mu 0, s 1) is the LSTM.
    """

    pair = ("lstm", "momentum")


class NesterovLSTM(_Named):
    """v = mu_k v + s g ; pre = v + U h + b_hh ; then the LSTM ; mu_k = (k-1)/(k+2), k = 1, 2, ..

    Options s (1.0), restart (0: none), reset_k_per_segment (False). Source: the paper, section 3.
    """

    pair = ("lstm", "nesterov")


class SRLSTM(_Named):
    """NesterovLSTM with scheduled restart: k = 1, 2, .., F, 1, .. Options as there, but restart (F, 2).

    Source: the paper, section 3, and the released PTB code. The released MNIST and TIMIT commands run
    `SRLSTMReleased`.
    """

    pair = ("lstm", "nesterov")
    preset: ClassVar[dict[str, Any]] = {"restart": 2}


class RMSPropLSTM(_Named):
    """m = beta m + (1-beta) g^2 ; pre = s g / sqrt(m + eps) + U h + b_hh ; then the LSTM.

    Options s (0.6), beta (0.9), eps ("released": 1e-16 inside the root; "paper": 1e-8 outside).
    Source: the paper, section 3; the released code runs AdamLSTM with mu = 0.
    """

    pair = ("lstm", "rmsprop")


class AdamLSTM(_Named):
    """v = mu v + s g ; m = beta m + (1-beta) g^2 ; pre = v / sqrt(m + eps) + U h + b_hh ; then the LSTM.

    Options mu (0.6), s (0.6), beta (0.1), eps ("released" or "paper", see RMSPropLSTM).
    Source: the paper, section 3, and the released code; no bias correction.
    """

    pair = ("lstm", "adam")


class SRLSTMReleased(_Named):
    """y_t = U h + b_hh - s g ; pre = y_t + mu_k (y_t - y_{t-1}) ; then the LSTM. Options s (1.0), restart (F, 2).

    Source: the released code, whose MNIST and TIMIT commands run it as SRLSTM; not the paper's cell.
    """

    pair = ("srlstm_released", "identity")


class DTRIV(_Named):
    """h = modReLU(g + h B, b) ; B = base expm(A - A^T), orthogonal ; g = W x without a bias.

    Options skew_init ("cayley" or "henaff"), rebase (K; 0: infinity), project (100). With K > 0, training code of your
    own calls `momentum_exp.after_step(model)` after each optimizer step.
    Source: Lezcano-Casado, 2019, and the released code.
    """

    pair = ("dtriv", "identity")


class MomentumDTRIV(_Named):
    """v = mu v + s g ; h = modReLU(v + h B, b) ; otherwise as DTRIV. Options mu (0.6), s (0.6) and DTRIV's.

    Source: the paper, Tables 4 and 5, and the released code.
    """

    pair = ("dtriv", "momentum")


class NesterovDTRIV(_Named):
    """v = mu_k v + s g ; h = modReLU(v + h B, b) ; mu_k = (k-1)/(k+2), k = 1, 2, .. ; otherwise as DTRIV.

    Options s (1.0), restart (0: none), reset_k_per_segment (False) and DTRIV's. Source: the released code.
    """

    pair = ("dtriv", "nesterov")


class SRDTRIV(_Named):
    """NesterovDTRIV with scheduled restart: k = 1, 2, .., F, 1, .. Options as there, but restart (F, 2).

    Source: the paper, appendix, and the released code.
    """

    pair = ("dtriv", "nesterov")
    preset: ClassVar[dict[str, Any]] = {"restart": 2}


class RMSPropDTRIV(_Named):
    """m = beta m + (1-beta) g^2 ; h = modReLU(s g / sqrt(m + eps) + h B, b) ; otherwise as DTRIV.

    Options s (0.6), beta (0.9), eps ("released" or "paper", see RMSPropLSTM) and DTRIV's.
    Source: the paper, appendix; the released code runs AdamDTRIV with mu = 0.
    """

    pair = ("dtriv", "rmsprop")


class AdamDTRIV(_Named):
    """v = mu v + s g ; m = beta m + (1-beta) g^2 ; h = modReLU(v / sqrt(m + eps) + h B, b) ; otherwise as DTRIV.

    Options mu (0.6), s (0.6), beta (0.1), eps ("released" or "paper", see RMSPropLSTM) and DTRIV's.
    Source: the paper, appendix, and the released code.
    """

    pair = ("dtriv", "adam")


class GRU(_Named):
    """r, z = sigmoid(g + U h + b_hh) ; n = tanh(g_n + r (U_n h + b_hn)) ; h = (1 - z) n + z h: as torch.nn.GRU.

    Source: Cho et al., 2014, in torch's form.
    """

    pair = ("gru", "identity")


class ExpRNN(_Named):
    """h = modReLU(g + h B, b) ; B = expm(A - A^T), orthogonal ; g = W x without a bias.

    Option skew_init ("cayley" or "henaff"). Source: Lezcano-Casado and Martinez-Rubio, 2019.
    """

    pair = ("exprnn", "identity")
