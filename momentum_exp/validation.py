"""A composed configuration made sure of: ranges, keys without effect, defaults filled in, engine resolved."""

import dataclasses
import warnings
from collections.abc import Collection
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf

from momentum_exp.cells import applicable_options, dynamics_names, option_names, recurrence_names
from momentum_exp.cells.options import build, constrained, learnable, owners
from momentum_exp.command_line import explain, reject_unknown_keys
from momentum_exp.config import CellConfig, Config, DataConfig, OptimizerConfig, TaskConfig, schema_keys
from momentum_exp.data import content_checksum, data_options, data_root, dataset_names, protocol_switches
from momentum_exp.data.permutation import FIXED_SEED, pixel_permutation
from momentum_exp.engines import resolve_engine
from momentum_exp.errors import UserError
from momentum_exp.tasks import carries_state, task_options
from momentum_exp.training.device import device_type
from momentum_exp.training.optimizers import optimizer_options

CELL_OPTIONS = tuple(f.name for f in dataclasses.fields(CellConfig) if f.name in option_names())
"""The keys of `cell` that are options of some recurrence or dynamics, and so do not apply to every cell."""


def validate(composed: DictConfig, given: Collection[str] = (), *, sweep: bool = False) -> Config:
    """The typed configuration of one run, complete and consistent.

    `given` are the keys that the user wrote on the command line. A key among them that has no effect is an
    error, unless the run belongs to a `sweep`: there it is dropped with a warning, as are keys from YAML files.
    Raises UserError for everything the user can mend; creates nothing.
    """
    reject_unknown_keys(composed)
    config = cast(Config, OmegaConf.to_object(composed))
    for name, field in schema_keys():
        value = get(config, name)
        if value is not None and not field.metadata["allowed"].holds(value):
            raise UserError(f"{name}={value} is not allowed. {explain(name)}")
    check_names(config)
    check_learn(config.cell)
    drop_ineffective(config, given, sweep)
    check_consistency(config)
    fill_defaults(config)
    config.cell.engine = resolved_engine(config.cell, device_type(config.trainer.device))
    return config


def get(config: Config, name: str) -> Any:
    """The value of a dotted key."""
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def reset(config: Config, name: str) -> None:
    """Give the dotted key `name` its schema default."""
    group, last = name.rsplit(".", 1)
    setattr(get(config, group), last, get(Config(), name))


def check_names(config: Config) -> None:
    """Names that stand for a file of ours are known ones, and the pixel order is a known protocol."""
    for name, known in (
        ("cell.recurrence", recurrence_names()),
        ("cell.dynamics", dynamics_names()),
        ("data.name", dataset_names()),
    ):
        if get(config, name) not in known:
            raise UserError(f"{name}={get(config, name)}: known are {', '.join(known)}. {explain(name)}")
    try:
        applicable_options(config.cell.recurrence, config.cell.dynamics)
    except ValueError as error:
        raise UserError(f"cell.{error}") from error
    if config.data.permutation is not None:
        pixel_permutation(config.data.permutation, 2, 0)


def ineffective(config: Config) -> dict[str, str]:
    """Keys that hold a value which nothing reads, each with the reason."""
    reasons = {}
    cell = config.cell
    known = applicable_options(cell.recurrence, cell.dynamics)
    for option in CELL_OPTIONS:
        if option not in known:
            uses = ", ".join(f"cell.{o}" for o in known if o in CELL_OPTIONS) or "no options"
            reasons[f"cell.{option}"] = (
                f"recurrence {cell.recurrence} with {cell.dynamics} dynamics uses {uses}; "
                f"{option} belongs to {' and '.join(owners(option))}"
            )
    if not cell.learn:
        reasons["cell.learn_per"] = "nothing is learned of the dynamics; write for example cell.learn=[mu,s]"
    if cell.init != "torch":
        reasons["cell.init_range"] = f"cell.init={cell.init} has ranges of its own; write cell.init=torch"
    if not carries_state(config.task.name):
        carrying = f"task {config.task.name} starts every sequence anew"
        reasons.setdefault("cell.reset_k_per_segment", carrying)
    if not constrained(cell.recurrence):
        for option in ("lr_orthogonal", "orthogonal"):
            reasons[f"optimizer.{option}"] = f"recurrence {cell.recurrence} constrains no weight"
    if cell.num_layers == 1:
        reasons["cell.dropout"] = "it acts between layers and cell.num_layers is 1"
    known_to_optimizer = optimizer_options(config.optimizer.name)
    for field in dataclasses.fields(OptimizerConfig):
        if field.name not in known_to_optimizer:
            reasons[f"optimizer.{field.name}"] = (
                f"optimizer {config.optimizer.name} has no {field.name} (it has {', '.join(known_to_optimizer)})"
            )
    if config.optimizer.decay is None:
        reasons["optimizer.decay_after"] = "the learning rate does not decay; write for example optimizer.decay=0.5"
    known_to_task = task_options(config.task.name)
    for field in dataclasses.fields(TaskConfig):
        if field.name not in ("name", *known_to_task):
            uses = ", ".join(f"task.{option}" for option in known_to_task) or "its name alone"
            reasons[f"task.{field.name}"] = f"task {config.task.name} does not read it (it reads {uses})"
    read = data_options(config.data.name)
    for field in dataclasses.fields(DataConfig):
        if field.name not in ("name", *read):
            uses = ", ".join(f"data.{option}" for option in read)
            reasons[f"data.{field.name}"] = f"data set {config.data.name} does not read it (it reads {uses})"
    if config.tracking.name != "wandb":
        for option in ("project", "entity", "mode", "tags"):
            reasons[f"tracking.{option}"] = "it belongs to tracking=wandb"
    if not config.diagnostics.any:
        reasons["diagnostics.every"] = "every diagnostic is off"
    default = Config()
    return {name: reason for name, reason in reasons.items() if get(config, name) != get(default, name)}


def drop_ineffective(config: Config, given: Collection[str], sweep: bool) -> None:
    """Set keys without effect back to their default, aloud; an error for those given in a single run."""
    for name, reason in ineffective(config).items():
        value = get(config, name)
        if name in given and not sweep:
            raise UserError(f"{name}={value} has no effect: {reason}. Leave it out.")
        warnings.warn(f"{name} has no effect and is dropped: {reason}", stacklevel=2)
        reset(config, name)


def check_consistency(config: Config) -> None:
    """What no single key's range can say."""
    if config.optimizer.nesterov and not config.optimizer.momentum:
        raise UserError("optimizer.nesterov=true needs a momentum. Write for example: optimizer.momentum=0.9")
    if config.trainer.device == "cuda" and not torch.cuda.is_available():
        raise UserError("trainer.device=cuda: torch sees no CUDA device here. Write trainer=cpu or trainer=auto")
    if config.trainer.precision == "tf32" and device_type(config.trainer.device) == "cpu":
        raise UserError("trainer.precision=tf32 exists on CUDA devices only. Write trainer.precision=float32")


def fill_defaults(config: Config) -> None:
    """Give what nobody set its default, and what can be written in two ways one form, so that equal runs are one."""
    cell, permutation = config.cell, str(config.data.permutation)
    if permutation == "fixed" or permutation.isdecimal():
        config.data.permutation = FIXED_SEED if permutation == "fixed" else int(permutation)
    if cell.learn_per == "layer":
        cell.learn_per = None
    if config.optimizer.orthogonal == config.optimizer.name:
        config.optimizer.orthogonal = None
    if config.optimizer.lr_orthogonal == config.optimizer.lr:
        config.optimizer.lr_orthogonal = None
    for option, default in applicable_options(cell.recurrence, cell.dynamics).items():
        if option in CELL_OPTIONS and getattr(cell, option) is None:
            setattr(cell, option, default)
    for option, value in protocol_switches(config.data).items():
        if getattr(config.data, option) is None:
            setattr(config.data, option, value)
    if config.data.checksum is None:
        config.data.checksum = content_checksum(config.data, data_root(config))
    for option, default in task_options(config.task.name).items():
        if getattr(config.task, option) is None:
            setattr(config.task, option, default)
    if config.optimizer.decay is not None and config.optimizer.decay_after is None:
        config.optimizer.decay_after = 1
    # Off stays null: so do keys that are younger than runs which they would otherwise rename.
    cell.reset_k_per_segment, cell.weight_dropout = cell.reset_k_per_segment or None, cell.weight_dropout or None


def check_learn(cell: CellConfig) -> None:
    """What is learned of the dynamics exists in it, in one order and none twice, so that equal runs are one."""
    if cell.learn is None:
        return
    known = learnable(cell.dynamics)
    for name in cell.learn:
        if name not in known:
            if not known:
                raise UserError(
                    f"cell.learn={name}: {cell.dynamics} dynamics can learn nothing. Leave it out, or write for "
                    "example cell.dynamics=momentum"
                )
            allowed = ", ".join(known)
            raise UserError(f"cell.learn={name}: {cell.dynamics} dynamics can learn {allowed}. {explain('cell.learn')}")
    cell.learn = [name for name in known if name in cell.learn] or None


def resolved_engine(cell: CellConfig, device: str) -> str:
    """The engine that `cell.engine` comes to for this cell on a device of this type."""
    try:
        options = {name: getattr(cell, name) for name in CELL_OPTIONS if getattr(cell, name) is not None}
        return resolve_engine(*build(cell.recurrence, cell.dynamics, options), cell.engine, device, bool(cell.learn))
    except ValueError as error:
        raise UserError(f"cell.{error}") from error
