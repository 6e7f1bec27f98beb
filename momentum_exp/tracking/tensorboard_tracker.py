"""TensorBoard event files in the run's folder. Needs the optional package `tensorboard`."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from momentum_exp.errors import UserError
from momentum_exp.tracking.tracker import scalars


class TensorBoardTracker:
    """Mirrors the records into `<run_dir>/tensorboard`. Raises UserError where the package is missing."""

    def __init__(self, run_dir: Path) -> None:
        if find_spec("tensorboard") is None:
            raise UserError(
                "tracking=tensorboard needs a package that is not installed: "
                "pip install 'momentum-exp[tensorboard]', or write tracking=none."
            )
        self._folder = run_dir / "tensorboard"
        self._writer: Any = None

    def start(self, total_steps: int, done_steps: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What an interrupted process wrote after its last checkpoint is recorded again.
        self._writer = SummaryWriter(self._folder, purge_step=done_steps + 1)

    def record(self, record: Mapping[str, Any]) -> None:
        for name, value in scalars(record):
            self._writer.add_scalar(name, value, record["step"])

    def finish(self, summary: Mapping[str, Any], state: str) -> None:
        if self._writer is not None:
            self._writer.add_text("state", state)
            self._writer.close()
