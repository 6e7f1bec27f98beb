"""Data sets, one file each: a module of this package with a `load(root, validation)` is one."""

import pkgutil
from importlib import import_module
from pathlib import Path

from momentum_exp.data.dataset import Dataset, Split, batches, shuffled_batches
from momentum_exp.data.permutation import pixel_permutation
from momentum_exp.errors import UserError

__all__ = [
    "Dataset",
    "Split",
    "batches",
    "dataset_names",
    "is_embedded",
    "load_dataset",
    "pixel_permutation",
    "shuffled_batches",
]


def dataset_names() -> list[str]:
    """What `data.name=` may say, sorted."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(name for name in names if hasattr(import_module(f"{__name__}.{name}"), "load"))


def is_embedded(name: str) -> bool:
    """Whether the data set comes with a package and reads no files of the user's (its module says EMBEDDED)."""
    return getattr(import_module(f"{__name__}.{name}"), "EMBEDDED", False)


def load_dataset(
    name: str,
    *,
    root: Path,
    permutation: str | int | None,
    validation: int | None,
    limit: int | None,
    run_seed: int,
) -> Dataset:
    """The data set `name` on the CPU, its pixels in the order of `permutation` (None: as they come).

    root: the folder that holds the data, or gets it where it can be downloaded.
    permutation: a protocol of `pixel_permutation`; only `released` looks at `run_seed`.
    validation: number of training rows to hold out, None for the data set's own choice.
    limit: keep only the first `limit` rows of every split (for trials), None for all.

    Raises UserError for an unknown name or a value out of range, and where the data is missing or damaged.
    """
    if name not in dataset_names():
        known = ", ".join(dataset_names())
        raise UserError(f"data.name={name}: there is {known}; write for example data.name=digits")
    if limit is not None and limit < 1:
        raise UserError(f"data.limit={limit}: it is the number of rows to keep, 1 or more; null keeps all")

    dataset: Dataset = import_module(f"{__name__}.{name}").load(root, validation)
    if limit is not None:
        dataset = dataset.map(lambda split: split.limit(limit))
    if permutation is not None:
        order_T = pixel_permutation(permutation, dataset.train.inputs_NTD.shape[1], run_seed)
        dataset = dataset.map(lambda split: split.reorder(order_T))
    return dataset
