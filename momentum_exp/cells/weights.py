"""The parameters of one layer in one direction, as engines and recurrences see them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor


class Weights(NamedTuple):
    """W and b_ih make the drive; U = w_hh, b_hh and `extra` belong to the recurrence.

    (G, D), (G, H), (G,), (G,) as in torch.nn.LSTM; a bias that is not there is None. `extra` holds what a
    recurrence has beyond torch's four, by the names of `Recurrence.extra_shapes`. With a constrained w_hh, it is
    the matrix that the constraint makes of its own parameters.
    """

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None
    extra: Mapping[str, Tensor] = MappingProxyType({})

    def tensors(self) -> dict[str, Tensor]:
        """All that are there, by name."""
        own = {name: tensor for name, tensor in zip(self._fields, self[:4], strict=False) if tensor is not None}
        return {**own, **self.extra}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "Weights":
        """The same with other tensors, by the names of `tensors()`."""
        own = {name: tensors[name] for name in self._fields if name in tensors}
        return self._replace(**own, extra={name: tensors[name] for name in self.extra})

    def drop_recurrent(self, p: float) -> "Weights":
        """The same with each entry of w_hh zero with probability `p`, all others times 1 / (1 - p).

        The same mask at every step of a call: DropConnect on the recurrent weight (Wan et al. 2013), as AWD-LSTM
        has it (Merity, Keskar and Socher 2017).
        """
        kept = torch.empty_like(self.w_hh.real).bernoulli_(1 - p).div_(1 - p)
        return self._replace(w_hh=self.w_hh * kept)
