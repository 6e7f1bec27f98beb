"""A run on several processes is the run on one: its curve and its diagnostics, for every kind of data."""

import json
from pathlib import Path

import numpy as np
import torch
from distributed_runs import ALL, assert_alike, folder_of, records, run_here, torchrun

from momentum_exp.data import ptb
from momentum_exp.runs.folder import RunFolder

SMALL = (*ALL, "cell.hidden_size=6", "trainer.epochs=2")
JOBS = {
    "a last batch of one row, batches that no number divides": ("data.limit=40", "trainer.batch_size=13"),
    "fewer rows than processes": ("data.limit=5", "trainer.batch_size=2", "cell=momentumrnn"),
    "complex weights": ("cell=urnn", "data.limit=10", "trainer.batch_size=5"),
    "a constrained weight": (
        "cell=dtriv",
        "cell.rebase=2",
        "data.limit=20",
        "trainer.batch_size=5",
        "optimizer.lr=1e-4",
    ),
    "frames of sequences of different lengths": ("data=speech", "trainer.batch_size=5"),
    "such sequences packed": ("data=speech", "trainer.batch_size=5", "cell.bidirectional=true"),
    "generated labels": (
        "data=copying",
        "data.length=4",
        "data.steps_per_epoch=4",
        "data.limit=7",
        "trainer.batch_size=4",
    ),
    "generated numbers": (
        "data=adding",
        "data.length=6",
        "data.steps_per_epoch=4",
        "data.limit=7",
        "trainer.batch_size=4",
    ),
    "streams of words that carry their state": (
        *(
            "data=ptb",
            "cell=srlstm",
            "cell.num_layers=2",
            "trainer.batch_size=4",
            "data.bptt=7",
            "data.bptt_varies=false",
        ),
        *("task.dropout_embedding=0", "task.dropout_input=0", "task.dropout_output=0", "cell.dropout=0"),
        *("cell.weight_dropout=0", "task.embedding_size=6", "task.tied=true", "optimizer.lr=1"),
    ),
}


def test_three_processes_do_what_one_does(tmp_path: Path, ptb_root: Path, speech_root: Path) -> None:
    """Losses, metrics, gradient norms, those of every parameter and through time, gates, the evaluation of each row."""
    roots = {"speech": f"data.root={speech_root / 'speech'}", "ptb": f"data.root={ptb_root / 'ptb'}"}
    jobs = []
    for number, job in enumerate(JOBS.values()):
        root = [roots[data] for data in roots if f"data={data}" in job]
        jobs.append([*SMALL, *job, *root, f"paths.runs={tmp_path / 'three' / str(number)}"])
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps({"jobs": jobs, "tokens": ptb.TOKENS, "types": ptb.TYPES}))
    process = torchrun(str(Path(__file__).with_name("several_ranks.py")), str(file), processes=3)
    for number, overrides in enumerate(jobs):
        run_here(*overrides[:-1], f"paths.runs={tmp_path / 'one' / str(number)}")
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert out.count(": finished\n") == len(jobs)
    for number, name in enumerate(JOBS):
        one, three = (folder_of(tmp_path / which / str(number)) for which in ("one", "three"))
        assert one.name == three.name
        assert_alike(three, one, rtol=1e-4)
        found = records(three)
        losses = [(value, found[key]) for key, value in records(one).items() if key.endswith("_loss")]
        np.testing.assert_allclose(*np.transpose(losses), rtol=1e-5, err_msg=name)
        with np.load(one / "diagnostics.npz") as before, np.load(three / "diagnostics.npz") as after:
            assert before.files == after.files
            for array in before.files:
                np.testing.assert_allclose(after[array], before[array], rtol=1e-4, atol=1e-6, err_msg=f"{name} {array}")
        saved = torch.load(three / "checkpoint.pt", weights_only=True)
        assert saved["numerics"]["processes"] == 3
        assert [entry["processes"] for entry in RunFolder(three).read("environment.json")] == [3]
        assert [entry["processes"] for entry in RunFolder(one).read("environment.json")] == [1]
