"""Diagnostics of a run: measured every K steps, kept as compact arrays and records, resumable."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from momentum_exp.config import DiagnosticsConfig
from momentum_exp.data import Batch
from momentum_exp.diagnostics.gradient_flow import Flow, Saturation, watch_flow
from momentum_exp.errors import UserError
from momentum_exp.files import write_whole
from momentum_exp.tasks import Carry, Task
from momentum_exp.training.distributed import ALONE, Ranks

FILE = "diagnostics.npz"


class Diagnostics:
    """`rows[name]` holds one (T,) float32 array a measurement, `steps` the update it was measured in, from 1."""

    def __init__(self, config: DiagnosticsConfig, folder: Path, ranks: Ranks = ALONE) -> None:
        self.config, self.ranks = config, ranks
        self.path = folder / FILE
        self.steps: list[int] = []
        self.rows: dict[str, list[NDArray[np.float32]]] = {}

    def due(self, step: int) -> bool:
        """Whether to measure in update number `step`, counted from 1: the first, and every K-th after it."""
        return self.config.any and (step - 1) % self.config.every == 0

    @contextmanager
    def watch(self, step: int, task: Task, batch: Batch, carry: Carry) -> Iterator[list[dict[str, Any]]]:
        """Around the forward and backward pass of update number `step`: measures it, if it is due.

        Yields what is to go into metrics.jsonl, complete at the end. Parameters' gradients are not clipped by then, and
        among several processes averaged.
        """
        config, records = self.config, list[dict[str, Any]]()
        if not self.due(step):
            yield records
            return
        through_time, gates = config.gradient_through_time, config.gate_saturation
        watching = watch_flow(task, batch, carry, through_time=through_time, gates=gates)
        with watching if through_time or gates else nullcontext(Flow()) as flow:
            yield records
        flow = self.whole(flow, task, batch)
        if config.parameter_norms:
            norms = {name: float(p.grad.norm()) for name, p in task.named_parameters() if p.grad is not None}
            records.append({"kind": "parameters", "step": step, "grad_norms": norms})
        for (layer, direction), saturation in flow.gates.items():
            where = {"kind": "gates", "step": step, "layer": layer, "direction": direction}
            records.append(where | asdict(saturation))
        if flow.norms:
            self.steps.append(step)
            for name, norms_T in flow.norms.items():
                self.rows.setdefault(name, []).append(norms_T.numpy())

    def whole(self, flow: Flow, task: Task, batch: Batch) -> Flow:
        """The flow of the whole batch, of which `batch` is this process's share.

        A norm is a mean over the batch of what the loss is a mean over, steps where sequences differ in length. The
        gates of sequences that are padded, not packed, are counted past a sequence's end too.
        """
        rows, steps = len(batch.inputs), batch.inputs.shape[1]
        frames = rows if batch.lengths_B is None else int(batch.lengths_B.sum())
        packed = any(cell.directions > 1 for cell in task.cells)
        gates = {
            place: Saturation(*(self.ranks.mean(side, frames if packed else rows)[0] for side in (part.low, part.high)))
            for place, part in flow.gates.items()
        }
        return Flow(self.ranks.mean_over_time(flow.norms, frames, steps), gates)

    def save(self) -> None:
        """Write all rows so far: `step` (K,) and one (K, T) array a name, T the longest; NaN past a shorter row."""
        if self.steps and self.ranks.first:
            arrays: dict[str, Any] = {name: padded(rows) for name, rows in self.rows.items()}
            arrays["step"] = np.array(self.steps)
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)
            write_whole(self.path, lambda file: file.write(buffer.getbuffer()))

    def resume(self, step: int) -> None:
        """Take up the rows measured up to update `step`; later ones will be measured again.

        Raises UserError when the file is damaged.
        """
        if not self.path.exists():
            return
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                rows = dict(arrays)
        except Exception as error:  # zipfile, zlib and numpy each have their own
            raise UserError(
                f"{self.path} is damaged ({error}). Remove it to go on without what was measured, or write force=true"
            ) from error
        steps_K = rows.pop("step")
        kept = steps_K <= step
        self.steps = steps_K[kept].tolist()
        self.rows = {name: list(rows_KT[kept]) for name, rows_KT in rows.items()}


def padded(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Rows (T_k,) as one array (K, T), NaN where a row has ended."""
    out_KT = np.full((len(rows), max(map(len, rows))), np.nan, np.float32)
    for out_T, row_T in zip(out_KT, rows, strict=True):
        out_T[: len(row_T)] = row_T
    return out_KT
