"""One run on several processes, started by torchrun: the rows of each batch are shared out, all else is as with one.

Every process holds the whole model and takes the same steps. The gradient of the batch's mean loss is the mean of the
processes' gradients, each weighted by what its loss is a mean over (rows, words or frames), so it is exact however
uneven the shares are. That is one sum over all processes of one flat tensor, which DistributedDataParallel, made for
equal shares, can't give without undoing its own mean; its overlap of sums with the backward pass would gain
little, since that pass is one operation a layer. A process without a row of its own computes one that counts nothing.

The first process (rank 0) alone decides and writes: whether there is anything to train, records, checkpoints, status.
Until it calls, the others prepare and wait (through the store that torchrun keeps), saying nothing: what is wrong with
the command is wrong for all, and the first one says it. One that meets an internal error waits for nobody: it tells all
others that it has failed, and shows its traceback.
"""

import contextlib
import functools
import io
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from momentum_exp.cells import State
from momentum_exp.data.dataset import Batch
from momentum_exp.errors import UserError

POLL_SECONDS = 0.02
TRAIN, NOTHING = "train", "nothing"
FAILED = "failed"


class ProcessLost(Exception):
    """Another process of the run has ended, so this one can't go on."""


class Ranks:
    """This process's place among those of the run: `rank` of `size`; alone by default, where nothing needs doing."""

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0, store: Any = None) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank
        self._store = store
        self._joined = False
        self._counts = True  # whether the share of the last batch has a row of its own

    @property
    def first(self) -> bool:
        """Whether this is the process that decides, writes and speaks."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are other processes."""
        return self.size > 1

    # How the processes come together and part.

    def call(self) -> None:
        """By the first: have the others train with it.

        Raises UserError where one of them is not able to, ProcessLost where one has failed.
        """
        if self._store is None:
            return
        self._store.set("plan", TRAIN)
        answers = [self._wait(f"ready/{rank}") for rank in range(1, self.size)]
        if unable := [str(rank) for rank, answer in enumerate(answers, start=1) if answer != "yes"]:
            raise UserError(f"process {', '.join(unable)} of {self.size} can't take part; it says why")
        self._join()

    def called(self, *, ready: bool = True) -> bool:
        """By the others: wait for what the first decides, and answer; whether there is something to train.

        Raises ProcessLost where one of them has failed.
        """
        assert self._store is not None
        if self._wait("plan") != TRAIN:
            return False
        self._store.set(f"ready/{self.rank}", "yes" if ready else "no")
        if ready:
            self._join()
        return True

    @property
    def speaks(self) -> bool:
        """Whether what went wrong here is to be said: the first process has not met the same."""
        if self.first:
            return True
        try:
            return not self._joined and self.called(ready=False)
        except ProcessLost:  # the one that failed shows why
            return False

    def leave(self, *, failed: bool = False) -> None:
        """At the end: no process ends before the first, since torchrun then ends all others at once.

        But for one that has `failed`, by an internal error: it tells those that wait for it, and ends.
        """
        if self._store is None:
            return
        with contextlib.suppress(RuntimeError, KeyboardInterrupt, ProcessLost):  # torchrun has ended, or wants an end
            if failed and not self.first:
                self._store.set(FAILED, str(self.rank))
                return
            if not self.first:
                self._wait("left")
            else:
                if not self._store.check(["plan"]):
                    self._store.set("plan", NOTHING)
                self._store.set("left", "yes")
        if self._joined:
            distributed.destroy_process_group()

    def _join(self) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        store = distributed.PrefixStore("group", self._store)  # type: ignore[attr-defined]
        distributed.init_process_group(backend, store=store, rank=self.rank, world_size=self.size)
        self._joined = True

    def _wait(self, key: str) -> str:
        """The value of a key of the store, when there is one; between looks a signal gets through.

        Raises ProcessLost where a process has failed, which would set it no more.
        """
        assert self._store is not None
        while not self._store.check([key]):
            if self._store.check([FAILED]):
                raise ProcessLost(f"process {self._store.get(FAILED).decode()} of {self.size} has failed; it says why")
            time.sleep(POLL_SECONDS)
        return str(self._store.get(key).decode())

    # What is shared out.

    def bounds(self, rows: int) -> tuple[int, int]:
        """Which of a batch's rows are this process's: from, to. Shares differ by one row at most."""
        return rows * self.rank // self.size, rows * (self.rank + 1) // self.size

    def share(self, batch: Batch) -> Batch:
        """This process's rows of a batch, padded as the whole is; a row that counts nothing where it has none."""
        if not self.several:
            return batch
        start, stop = self.bounds(len(batch.inputs))
        self._counts = start < stop
        rows = slice(start, stop) if self._counts else slice(0, 1)
        lengths_B = None if batch.lengths_B is None else batch.lengths_B[rows]
        return replace(batch, inputs=batch.inputs[rows], targets=batch.targets[rows], lengths_B=lengths_B)

    def share_states(self, carry: Sequence[State] | None) -> Sequence[State] | None:
        """This process's rows of the states that a whole batch carries on."""
        if not self.several or carry is None:
            return carry
        start, stop = self.bounds(carry[0].h.shape[1])
        return [state[:, start:stop] if start < stop else state[:, :1] for state in carry]

    def whole_states(self, carry: Sequence[State] | None, rows: int) -> Sequence[State] | None:
        """The reverse: what the whole batch of that many rows carries on."""
        if not self.several or carry is None:
            return carry
        start, stop = self.bounds(rows)

        def whole(part: Tensor) -> Tensor:
            out = part.new_zeros(part.shape[0], rows, *part.shape[2:])
            out[:, start:stop] = part[:, : stop - start]
            self._sum(torch.view_as_real(out) if out.is_complex() else out)
            return out

        return [state.map(whole) for state in carry]

    def seed(self, run_seed: int, step: int) -> None:
        """Among several processes each draws its dropout from a seed of its own for each step, so that it resumes."""
        if self.several:
            mixed = np.random.SeedSequence((run_seed, step, self.rank)).generate_state(1, np.uint64)[0]
            torch.manual_seed(int(mixed))

    # What is brought together.

    def average_gradients(self, parameters: Iterable[nn.Parameter], weight: float) -> None:
        """Make every gradient that of the whole batch's mean loss; `weight` is what this process's is a mean over."""
        if not self.several:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        real = [torch.view_as_real(g) if g.is_complex() else g for g in gradients]
        weight = weight * self._counts
        flat = torch.cat([*(g.flatten() * weight for g in real), real[0].new_tensor([weight])])
        self._sum(flat)
        flat /= flat[-1].clone()
        start = 0
        for gradient in real:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def mean(self, values: Mapping[str, float], weight: float) -> tuple[dict[str, float], float]:
        """Means over the whole batch of what are means over this process's `weight`, and the whole weight."""
        if not self.several:
            return dict(values), weight
        weight = weight * self._counts
        *sums, whole = self.total([*(value * weight for value in values.values()), weight])
        return {name: value / whole for name, value in zip(values, sums, strict=True)}, whole

    def mean_over_time(self, norms: Mapping[str, Tensor], weight: float, steps: int) -> dict[str, Tensor]:
        """The same for series (T,), which end where the longest sequence here does; `steps`: of the whole batch."""
        if not self.several:
            return dict(norms)
        weight = weight * self._counts
        (whole,) = self.total([weight])
        means = {}
        for name, norms_T in norms.items():
            means[name] = nn.functional.pad(norms_T * weight, (0, steps - len(norms_T)))
            self._sum(means[name])
            means[name] /= whole
        return means

    def counted(self, weight: float) -> float:
        """`weight`, or 0 where the last share has no row of its own."""
        return weight * self._counts

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum over all processes of each value."""
        if not self.several:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        self._sum(sums)
        return [float(value) for value in sums]

    def any(self, *flags: bool) -> list[bool]:
        """Whether each flag is set in any process: what all of them are to do at the same step."""
        return [count > 0 for count in self.total([float(flag) for flag in flags])]

    def hand_out(self, make: Callable[[], Any]) -> Any:
        """What `make` gives in the first process (plain values and tensors), in every process."""
        if not self.several:
            return make()
        buffer = io.BytesIO()
        if self.first:
            torch.save(make(), buffer)
        (size,) = self.total([float(buffer.tell())])
        content = torch.zeros(int(size), dtype=torch.uint8)
        if self.first:
            content[:] = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        self._sum(content)
        return torch.load(io.BytesIO(content.numpy().tobytes()), map_location="cpu", weights_only=True)

    def _sum(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over all processes: the same bits in each."""
        try:
            distributed.all_reduce(tensor)
        except RuntimeError as error:
            raise ProcessLost(f"another process of the run has ended ({str(error).splitlines()[0]})") from error


ALONE = Ranks()


@functools.cache
def current_ranks() -> Ranks:
    """Of this process, as torchrun's environment says; `ALONE` without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["WORLD_SIZE"] == "1":
        return ALONE
    store, rank, size = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
    return Ranks(rank, size, int(os.environ["LOCAL_RANK"]), store)
