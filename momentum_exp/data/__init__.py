"""Data sets, one file each: a module of this package with a `load(config, root, run_seed)` is one."""

import pkgutil
from importlib import import_module
from pathlib import Path

from momentum_exp.config import Config, DataConfig
from momentum_exp.data.dataset import Batch, Dataset
from momentum_exp.errors import UserError

__all__ = [
    "Batch",
    "Dataset",
    "content_checksum",
    "data_options",
    "data_root",
    "dataset_names",
    "load_dataset",
    "protocol_switches",
]


def dataset_names() -> list[str]:
    """What `data.name=` may say, sorted."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(name for name in names if hasattr(import_module(f"{__name__}.{name}"), "load"))


def data_options(name: str) -> tuple[str, ...]:
    """The keys of `data` that the data set `name` reads, beside its name (its module says OPTIONS)."""
    options: tuple[str, ...] = import_module(f"{__name__}.{name}").OPTIONS
    return options


def protocol_switches(config: DataConfig) -> dict[str, bool]:
    """What `data.protocol` gives to keys of `data` that are null: its module's PROTOCOLS, if it has any."""
    protocols: dict[str, dict[str, bool]] = getattr(import_module(f"{__name__}.{config.name}"), "PROTOCOLS", {})
    return protocols.get(config.protocol or "clean", {})


def data_root(config: Config) -> Path:
    """The folder where a run looks for its data: data.root, or else paths.data."""
    return Path(config.data.root or config.paths.data)


def content_checksum(config: DataConfig, root: Path) -> str | None:
    """What tells the files of one user from another's, of a data set that is any files (its module's `checksum`).

    root: as for `load_dataset`. None for a data set that is always the same, which loading makes sure of, and where
    files are missing or can't be read, which loading says.
    """
    checksum = getattr(import_module(f"{__name__}.{config.name}"), "checksum", None)
    try:
        return None if checksum is None else str(checksum(config, root))
    except UserError:
        return None


def load_dataset(config: DataConfig, root: Path, run_seed: int) -> Dataset:
    """The data set that `config` describes, on the CPU.

    root: the folder that holds the data, or gets it where it can be downloaded. run_seed: the run's seed, for
    what a protocol draws from it (`permutation=released`).

    Raises UserError for an unknown name or a value out of range, and where the data is missing or damaged.
    """
    if config.name not in dataset_names():
        known = ", ".join(dataset_names())
        raise UserError(f"data.name={config.name}: there is {known}; write for example data.name=digits")
    dataset: Dataset = import_module(f"{__name__}.{config.name}").load(config, root, run_seed)
    return dataset
