"""Records of a run (the truth) and the trackers that mirror them as it trains."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from momentum_exp.errors import UserError
from momentum_exp.tracking.console import console_tracker
from momentum_exp.tracking.tensorboard_tracker import TensorBoardTracker
from momentum_exp.tracking.tracker import Tracker
from momentum_exp.tracking.wandb_tracker import WandbOptions, WandbTracker


def make_trackers(
    name: str,
    *,
    run_dir: Path,
    identity: Mapping[str, str],
    config: Mapping[str, Any],
    project: str = "momentum_exp",
    entity: str | None = None,
    mode: str = "offline",
    tags: Sequence[str] = (),
) -> list[Tracker]:
    """The console, and the service called `name`: "none", "wandb" or "tensorboard".

    `identity` has the run's `hash`, `group` (hash without the seed) and `name`; `config` is resolved and
    plain; `project`, `entity`, `mode` and `tags` are for W&B. Nothing is created on disk before `start`.
    Raises UserError for an unknown name or a missing package.
    """
    trackers = [console_tracker(identity["name"])]
    match name:
        case "none":
            return trackers
        case "tensorboard":
            return [*trackers, TensorBoardTracker(run_dir)]
        case "wandb":
            options = WandbOptions(project, entity, mode, tuple(tags))
            return [*trackers, WandbTracker(run_dir, identity, config, options)]
    raise UserError(f"tracking={name} is unknown; write tracking=none, tracking=wandb or tracking=tensorboard")
