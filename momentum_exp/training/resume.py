"""Where a run stands, and how a new process goes on from its last checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from momentum_exp.cells import State
from momentum_exp.diagnostics.recorder import Diagnostics
from momentum_exp.tasks import Carry, Task
from momentum_exp.tracking.records import Records
from momentum_exp.training.checkpoint import load_checkpoint, set_aside
from momentum_exp.training.distributed import ALONE, Ranks
from momentum_exp.training.optimizers import Optimizers

# What a checkpoint was made on: `numerics` decides whether a resumed run is bit-identical, the rest is for the reader.
Origin = Mapping[str, Mapping[str, Any]]
DIFFERS = {
    "numerics": "Resuming, but not bit-identically: changed since the checkpoint",
    "code": "Resuming on other code",
    "diagnostics": "Resuming with other diagnostics; what was measured before stays",
}


@dataclass
class Progress:
    """Where a run stands between two steps; saved with the checkpoint, so that it goes on exactly there."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    records: int = 0
    epoch_sums: dict[str, list[float]] = field(default_factory=dict)
    window_sums: dict[str, list[float]] = field(default_factory=dict)


def resume(
    task: Task,
    optimizer: Optimizers,
    diagnostics: Diagnostics,
    folder: Path,
    records: Records,
    origin: Origin,
    ranks: Ranks = ALONE,
) -> tuple[Progress, Carry]:
    """Bring everything to the last readable checkpoint, records included; from the start where there is none.

    Returns where the run stands and what the task carries from one batch to the next. Among several processes the
    first one alone reads the folder.
    """
    saved = ranks.hand_out(lambda: take_up(diagnostics, folder, records, origin))
    if saved is None:
        return Progress(), None
    task.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    torch.set_rng_state(saved["rng"])
    if saved["cuda_rng"] and not ranks.several:
        torch.cuda.set_rng_state_all(saved["cuda_rng"])
    carry = states(saved["carry"], next(task.parameters()).device)
    return Progress(**saved["progress"]), ranks.share_states(carry)


def take_up(diagnostics: Diagnostics, folder: Path, records: Records, origin: Origin) -> dict[str, Any] | None:
    """The last readable checkpoint, with records and diagnostics brought to it; None where there is none.

    Corrupt checkpoints are set aside, so that none takes the place of a readable one at the next save; where
    no readable one is left, so are records and diagnostics.
    """
    saved, corrupt = load_checkpoint(folder)
    for path, reason in corrupt.items():
        print(f"{path} is corrupt ({reason}); {'using the previous one' if saved else 'starting again'}")
    if corrupt:  # the checkpoints last: a kill in between must not leave records that belong to none
        for path in set_aside([*([] if saved else [records.path, diagnostics.path]), *corrupt]):
            print(f"Kept as {path}")
    if saved is None:
        records.truncate(0)
        return None
    for name, words in DIFFERS.items():
        before, now = saved.get(name, {}), origin[name]
        if changes := {key: (value, now.get(key)) for key, value in before.items() if value != now.get(key)}:
            print(f"{words}: {changes}")
    records.truncate(saved["progress"]["records"])
    diagnostics.resume(saved["progress"]["step"])
    print(f"Resuming after step {saved['progress']['step']}.")
    return saved


def plain(carry: Carry) -> list[dict[str, dict[str, Tensor]]] | None:
    """The carried states as dicts of tensors, for a checkpoint."""
    return None if carry is None else [{"recurrence": dict(s.recurrence), "dynamics": dict(s.dynamics)} for s in carry]


def states(saved: list[dict[str, dict[str, Tensor]]] | None, device: torch.device) -> Carry:
    """The reverse of `plain`, on `device`."""
    return None if saved is None else [State(**parts).to(device) for parts in saved]
