"""Weights & Biases: one W&B run for each run. Offline unless asked otherwise: no account, no network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from momentum_exp.errors import UserError
from momentum_exp.tracking.records import read_records
from momentum_exp.tracking.tracker import scalars

Mode = Literal["offline", "online", "disabled"]


@dataclass(frozen=True)
class WandbOptions:
    """The `tracking` keys that W&B alone knows: where runs go, and `mode` (a `Mode`)."""

    project: str
    entity: str | None
    mode: str
    tags: tuple[str, ...]


def require_account() -> None:
    """Raise UserError where W&B finds no credentials or malformed ones; asks neither the user nor the network."""
    import wandb

    try:
        wandb.setup(settings=wandb.Settings(silent=True, mode="online"))
        known, why = wandb.login(prompt=False, verify=False), "it finds no API key"
    except wandb.errors.Error as error:
        known, why = False, str(error)
    if not known:
        raise UserError(
            f"tracking.mode=online needs an account with Weights & Biases: {why}. Run `wandb login` or set "
            "WANDB_API_KEY first, or write tracking.mode=offline (no account) or tracking=none."
        )


class WandbTracker:
    """Mirrors the records into W&B, grouped by config without the seed; a resumed run keeps its W&B id.

    Offline, W&B writes a folder below `<run_dir>/wandb` for each process, and uploading one replaces the
    others. So a resumed run first repeats its records: its newest folder is the whole run, the one whose
    upload command is printed at the end.
    """

    def __init__(
        self, run_dir: Path, identity: Mapping[str, str], config: Mapping[str, Any], options: WandbOptions
    ) -> None:
        self._run_dir, self._identity, self._config, self._options = run_dir, identity, config, options
        self._run: Any = None
        if options.mode == "online":
            require_account()

    def start(self, total_steps: int, done_steps: int) -> None:
        import wandb  # a second to import, so only where it is used

        try:
            self._run = wandb.init(
                project=self._options.project,
                entity=self._options.entity,
                mode=cast(Mode, self._options.mode),
                tags=self._options.tags,
                dir=self._run_dir,
                id=self._identity["hash"],
                name=self._identity["name"],
                group=self._identity["group"],
                config=dict(self._config),
                resume="allow" if self._options.mode == "online" else None,
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.errors.Error as error:
            raise UserError(
                f"Weights & Biases did not start with tracking.mode={self._options.mode}: {error} "
                "Run `wandb login` first, or write tracking.mode=offline (no account) or tracking=none."
            ) from error
        if done_steps and self._options.mode == "offline":
            for record in read_records(self._run_dir / "metrics.jsonl"):
                self.record(record)

    def record(self, record: Mapping[str, Any]) -> None:
        self._run.log(dict(scalars(record)), step=record["step"])

    def finish(self, summary: Mapping[str, Any], state: str) -> None:
        if self._run is None:
            return
        self._run.summary.update({"state": state, **summary})
        self._run.finish(exit_code=0 if state == "finished" else 1)
        if self._options.mode == "offline":
            print(f"To upload this run to Weights & Biases: wandb sync {Path(self._run.dir).parent}")
