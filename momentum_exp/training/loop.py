"""The training loop, read top to bottom."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch.nn.utils import clip_grad_norm_

from momentum_exp.cells import Recurrent
from momentum_exp.config import Config
from momentum_exp.data import Batch, Dataset
from momentum_exp.diagnostics.recorder import Diagnostics
from momentum_exp.tasks import Evaluation, Task
from momentum_exp.tracking.records import Records
from momentum_exp.tracking.tracker import Tracker
from momentum_exp.training.checkpoint import save_checkpoint
from momentum_exp.training.device import Machine
from momentum_exp.training.interruption import Interrupted, Interruption
from momentum_exp.training.means import Means
from momentum_exp.training.optimizers import build_optimizer, decay_factor
from momentum_exp.training.resume import Origin, Progress, plain, resume


class Diverged(Exception):
    """The loss or the gradient is no longer finite; the message says where."""


def total_steps(config: Config, dataset: Dataset) -> int:
    """Optimizer steps of the whole run."""
    trainer = config.trainer
    steps = sum(len(dataset.training(trainer.batch_size, config.seed, epoch)) for epoch in range(trainer.epochs))
    return min(steps, trainer.max_steps or steps)


def train(
    config: Config,
    task: Task,
    dataset: Dataset,
    machine: Machine,
    folder: Path,
    records: Records,
    tracker: Tracker,
    origin: Origin,
    set_status: Callable[..., None],
    still_ours: Callable[[], None],
) -> None:
    """Train `task` to the end of the run, from its last checkpoint where there is one.

    Every record goes to `records` and `tracker`; `origin` goes into each checkpoint in `folder`, and a resumed
    run says where it differs. `set_status("running", **facts)` is called after each. `still_ours()` is called before
    anything is written, and raises where another process has taken the run over. Raises Diverged when a
    loss or the gradient is not finite and Interrupted on SIGINT or SIGTERM; what was recorded until then stays.
    Among several processes all take the same steps, each with its share of every batch, and the first one writes.
    """
    trainer, device, ranks = config.trainer, machine.device, machine.ranks
    task, dataset = task.to(device), dataset.to(device)
    optimizer = build_optimizer(task, config.optimizer)
    diagnostics = Diagnostics(config.diagnostics, folder, ranks)
    progress, carry = resume(task, optimizer, diagnostics, folder, records, origin, ranks)
    epoch_means, window = Means(progress.epoch_sums), Means(progress.window_sums)
    last_step = total_steps(config, dataset)

    def record(entry: dict[str, Any]) -> None:
        if not ranks.first:
            return
        still_ours()
        records.append(entry)
        tracker.record(entry)

    def record_window(step: int) -> None:
        at = {"step": step, "epoch": progress.epoch + 1}
        lr = config.optimizer.lr * decay_factor(config.optimizer, progress.epoch)
        record({"kind": "step", **at, **window.read(), "lr": lr, "seconds": progress.seconds})
        if learned := learned_values(task):
            record({"kind": "learned", **at, "values": learned})
        window.clear()

    def diverge(after: int, how: str) -> NoReturn:
        if window.sums:
            record_window(after)
        diagnostics.save()
        raise Diverged(f"step {progress.step}: {how}")

    def checkpoint() -> None:
        whole_carry = ranks.whole_states(carry, trainer.batch_size)
        if not ranks.first:
            return
        still_ours()
        progress.records = records.count
        progress.epoch_sums, progress.window_sums = epoch_means.sums, window.sums
        diagnostics.save()
        save_checkpoint(
            folder,
            {
                "model": task.state_dict(),
                "optimizer": optimizer.state_dict(),
                "rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state_all() if device.type == "cuda" else [],
                "progress": asdict(progress),
                "carry": plain(whole_carry),
                **{name: dict(facts) for name, facts in origin.items()},
            },
        )
        set_status("running", step=progress.step, total_steps=last_step, seconds=progress.seconds)

    def heed() -> None:
        if ranks.any(interruption.requested)[0]:
            raise Interrupted(f"in the evaluation after step {progress.step} of {last_step}")

    set_status("running", step=progress.step, total_steps=last_step, seconds=progress.seconds)
    tracker.start(last_step, progress.step)
    saved_at, last_norm = time.monotonic(), math.nan
    with Interruption(lasting=ranks.several) as interruption:
        while progress.step < last_step or progress.batch:
            order = dataset.training(trainer.batch_size, config.seed, progress.epoch)
            task.train()
            while progress.batch < len(order) and progress.step < last_step:
                began = time.perf_counter()
                batch = ranks.share(order[progress.batch])
                progress.step += 1
                ranks.seed(config.seed, progress.step)
                optimizer.zero_grad(set_to_none=True)
                with diagnostics.watch(progress.step, task, batch, carry) as found:
                    with machine.autocast():
                        evaluated = task.evaluate(batch, carry)
                    evaluated.loss.backward()  # type: ignore[no-untyped-call]
                    ranks.average_gradients(task.parameters(), evaluated.weight)
                for entry in found:
                    record(entry)
                grad_norm = clip_grad_norm_(task.parameters(), trainer.clip_norm or math.inf).item()
                metrics, weight = ranks.mean(scalars(evaluated), evaluated.weight)
                loss = metrics["loss"]
                if not (math.isfinite(loss) and math.isfinite(grad_norm)):
                    diverge(
                        progress.step - 1,
                        f"loss {loss}, gradient norm {grad_norm}, learning rate {config.optimizer.lr}, "
                        f"gradient norm one step earlier {last_norm:.4g}",
                    )
                last_norm = grad_norm
                optimizer.step(batch.lr_scale * decay_factor(config.optimizer, progress.epoch))
                carry = evaluated.carry
                progress.batch += 1
                clipped = float(trainer.clip_norm is not None and grad_norm > trainer.clip_norm)
                epoch_means.add(weight, **metrics)
                epoch_means.add(1, clipped_fraction=clipped)
                window.add(1, train_loss=loss, grad_norm=grad_norm, clipped_fraction=clipped)
                progress.seconds += time.perf_counter() - began

                if progress.step % trainer.log_every == 0 or progress.step == last_step:
                    record_window(progress.step)
                stop, due = ranks.any(interruption.requested, time.monotonic() - saved_at >= trainer.checkpoint_seconds)
                if stop or due:
                    checkpoint()
                    saved_at = time.monotonic()
                if stop:
                    raise Interrupted(f"after step {progress.step} of {last_step}")

            try:
                with optimizer.averaged():
                    measured = epoch_record(
                        progress, len(order), epoch_means, task, dataset, trainer.batch_size, machine, heed
                    )
            except Interrupted:
                checkpoint()
                raise
            record(measured | optimizer.facts())
            for name in ("test_loss", "val_loss"):
                if not math.isfinite(measured.get(name, 0.0)):
                    rest = f"learning rate {config.optimizer.lr}, last gradient norm {last_norm:.4g}"
                    diverge(progress.step, f"{name} {measured[name]}, {rest}")
            optimizer.after_epoch(measured.get("val_loss"))
            epoch_means.clear()
            progress.epoch, progress.batch, carry = progress.epoch + 1, 0, None
        checkpoint()


def learned_values(task: Task) -> dict[str, Any]:
    """What is learned of the dynamics of every cell, by the cell's name in the task: `{"cell.mu_l0": [0.6]}`."""
    return {
        f"{name}.{key}": value
        for name, module in task.named_modules()
        if isinstance(module, Recurrent)
        for key, value in module.learned_values().items()
    }


def epoch_record(
    progress: Progress,
    batches_an_epoch: int,
    means: Means,
    task: Task,
    dataset: Dataset,
    batch_size: int,
    machine: Machine,
    heed: Callable[[], None],
) -> dict[str, Any]:
    """The epoch's training means, and loss and metrics on the validation and test split, `heed` called between batches.

    `epoch` is the number of epochs trained: a fraction where max_steps ended the last one early.
    """
    whole = progress.batch == batches_an_epoch
    began = time.perf_counter()
    trained = task.summarise(means.read())
    measured = {("" if name == "clipped_fraction" else "train_") + name: v for name, v in trained.items()}
    for split in ("test", "val"):
        if (batches := dataset.evaluation(split, batch_size)) is not None:
            measured |= evaluate(task, heeding(batches, heed), machine, f"{split}_")
    return {
        "kind": "epoch",
        "epoch": progress.epoch + (1 if whole else round(progress.batch / batches_an_epoch, 4)),
        "step": progress.step,
        **measured,
        "seconds": progress.seconds,
        "eval_seconds": time.perf_counter() - began,
    }


def scalars(evaluated: Evaluation) -> dict[str, float]:
    """The loss and the other means of a batch as numbers."""
    return {"loss": evaluated.loss.item(), **{name: value.item() for name, value in evaluated.metrics.items()}}


def heeding(batches: Iterable[Batch], heed: Callable[[], None]) -> Iterator[Batch]:
    """The batches, `heed` called before each."""
    for batch in batches:
        heed()
        yield batch


@torch.no_grad()
def evaluate(task: Task, batches: Iterable[Batch], machine: Machine, prefix: str) -> dict[str, float]:
    """Loss and metrics over the batches of a split, each weighted by its weight: each row counts once.

    The release averages batch means instead, which weighs the last, short batch of MNIST's test set 8 times.
    """
    task.eval()
    ranks, means, carry = machine.ranks, Means(), None
    for batch in batches:
        with machine.autocast():
            evaluated = task.evaluate(ranks.share(batch), carry)
        carry = evaluated.carry
        means.add(ranks.counted(evaluated.weight), **scalars(evaluated))
    means = Means({name: ranks.total(pair) for name, pair in means.sums.items()})
    return {prefix + name: value for name, value in task.summarise(means.read()).items()}
