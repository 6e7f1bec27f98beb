"""A call's tensors in one dictionary, for what records functions of tensors alone: torch's scan, CUDA graphs."""

from torch import Tensor

from momentum_exp.cells.state import Tensors


def flat(**parts: Tensors) -> dict[str, Tensor]:
    """All tensors of the parts, named `part.name`."""
    return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def part(tensors: Tensors, name: str) -> dict[str, Tensor]:
    """The tensors of one part, under their own names again."""
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
