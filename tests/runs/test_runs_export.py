"""`python -m momentum_exp.export`: finished runs as files for inference, checked by who reads them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from omegaconf import OmegaConf

import momentum_exp as mx
from momentum_exp import export
from momentum_exp.runs.folder import RunFolder
from momentum_exp.tracking.run_record import read_run

SHORT = ("data=pdigits", "trainer.max_steps=3", "diagnostics=none")


@pytest.fixture
def exporting(tmp_path, monkeypatch, capsys):
    """`exporting("RUN", ..)` calls the command in the test's own process; its exit code, output and error."""

    def call(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments), "--runs", str(tmp_path / "runs")])
        try:
            export.main()
        except SystemExit as ended:
            return ended.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return call


def logits(folder, x_BTD):
    """What the SRDTRIV classifier of a run says, made of nothing but its checkpoint and configuration."""
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    config = OmegaConf.load(folder / ".hydra" / "config.yaml").cell
    cell = mx.SRDTRIV(1, 4, batch_first=True, s=config.s, restart=config.restart, engine="reference")
    cell.load_state_dict({name.removeprefix("cell."): weight for name, weight in saved.items() if "cell." in name})
    _, state = cell(x_BTD)
    return torch.nn.functional.linear(state.h[-1], saved["readout.weight"], saved["readout.bias"]).detach()


def test_an_onnx_classifier_of_a_trained_run(runs, tmp_path):
    """By its name without the hash; a constrained weight; read by onnxruntime at other shapes than it was made at."""
    runs.run("cell=srdtriv", *SHORT)
    folder = runs.folder("cell=srdtriv", *SHORT)
    done = subprocess.run(
        [sys.executable, "-m", "momentum_exp.export", folder.name.rpartition("-")[0], "--out", "model.onnx"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third = done.stdout.splitlines()
    accuracy = 100 * runs.status(folder)["summary"]["final"]["test_accuracy"]
    assert first == f"runs/{folder.name}: final weights, step 3, test accuracy {accuracy:.2f}%"
    assert second.startswith("model.onnx: ")
    assert float(re.match(r"largest difference from eager: (\S+), ", third)[1]) < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "runs"]

    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node].count("Scan") == 1
    assert str(Path(export.__file__).parent).encode() not in (tmp_path / "model.onnx").read_bytes()
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for shape in ((1, 1), (5, 64)):
        x_BTD = torch.rand(*shape, 1)
        (found,) = session.run(None, {"x": x_BTD.numpy()})
        np.testing.assert_allclose(found, logits(folder, x_BTD), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "overrides", [("cell=urnn",), ("cell=adamlstm", "cell.num_layers=2", "cell.learn=[mu,s]")], ids=str
)
def test_a_torch_export_file(runs, exporting, tmp_path, overrides):
    """Complex cells, too; by the folder."""
    runs.run(*overrides, *SHORT)
    folder = runs.folder(*overrides, *SHORT)
    code, out, error = exporting(folder, "--out", tmp_path / "model.pt2", "--format", "pt2")
    assert (code, error) == (0, "")
    assert "largest difference from eager" in out
    model, _ = export.trained_classifier(read_run(folder))
    x_BTD = torch.rand(5, 64, 1)
    found = torch.export.load(tmp_path / "model.pt2").module()(x_BTD)
    torch.testing.assert_close(found, model(x_BTD), rtol=0, atol=1e-4)


def test_averaged_weights_are_those_that_were_evaluated(runs):
    overrides = ("cell=lstm", "optimizer=ntasgd", *SHORT)
    runs.run(*overrides)
    folder = runs.folder(*overrides)
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    model, which = export.trained_classifier(read_run(folder))
    assert which == "final weights, step 3"
    means = [torch.full_like(parameter, 0.5) for parameter in model.parameters()]
    saved["optimizer"]["averaging"] |= {"steps": 2, "means": means}
    torch.save(saved, folder / "checkpoint.pt")
    model, which = export.trained_classifier(read_run(folder))
    assert which == "final weights, step 3, averaged over 2 steps"
    assert all(torch.equal(parameter, torch.full_like(parameter, 0.5)) for parameter in model.parameters())


def test_a_model_that_differs_is_not_written(runs, exporting, tmp_path, monkeypatch):
    runs.run("cell=lstm", *SHORT)
    folder = runs.folder("cell=lstm", *SHORT)
    monkeypatch.setitem(
        export.FORMATS, "pt2", (export.to_pt2, lambda content: lambda x_BTD: torch.ones(len(x_BTD), 10))
    )
    with pytest.raises(RuntimeError, match="differs from eager"):
        exporting(folder, "--out", tmp_path / "model.pt2", "--format", "pt2")
    assert not (tmp_path / "model.pt2").exists()


# ---- errors


@pytest.fixture
def refused(runs, exporting, tmp_path):
    """The one message of a command that ends with exit code 2 and leaves nothing."""
    out = tmp_path / "model"

    def message(*arguments, out=out):
        code, printed, error = exporting(*arguments, "--out", out)
        assert (code, printed) == (2, "")
        assert not out.exists()
        (line,) = error.splitlines()
        return line.removeprefix("momentum_exp.export: error: ")

    return message


def test_names_that_are_no_run_or_several(runs, refused):
    assert refused("pdigits-lstm").endswith(f"nor the name of a run below {runs.root}. Nearest there: no runs")
    for lr in (0.1, 0.2):
        runs.run("cell=lstm", f"optimizer.lr={lr}", *SHORT)
    names = sorted(folder.name for folder in runs.root.iterdir())
    assert all(name in refused("pdigits-lstm") for name in names)
    message = refused("pdigits-lstm-n4-seed0")
    assert message.startswith("pdigits-lstm-n4-seed0 is the name of 2 runs: write one of ")
    assert all(name in message for name in names)
    assert refused(runs.root) == f"{runs.root} is no run's folder: it has neither identity.json nor status.json"


def test_runs_that_are_not_finished_or_of_another_task_or_damaged(runs, refused):
    runs.run("cell=lstm", *SHORT)
    folder = runs.folder("cell=lstm", *SHORT)
    RunFolder(folder).set_status("interrupted")
    assert refused(folder) == (
        f"{folder}: the run is interrupted, not finished; the command that started it goes on with it"
    )
    RunFolder(folder).set_status("finished")
    (folder / "checkpoint.pt").write_bytes((folder / "checkpoint.pt").read_bytes()[:1000])
    assert refused(folder).startswith(f"{folder}: its weights can't be read (")
    adding = ("cell=lstm", "data=adding", "data.steps_per_epoch=2", "trainer.max_steps=1", "diagnostics=none")
    runs.run(*adding)
    folder = runs.folder(*adding)
    assert refused(folder) == (
        f"{folder}: task.name=regression; what can be exported is a run of task.name=classification"
    )


def test_what_onnx_can_t_do_here(runs, refused, tmp_path, monkeypatch):
    for cell in ("lstm", "urnn"):
        runs.run(f"cell={cell}", *SHORT)
    assert refused(runs.folder("cell=urnn", *SHORT)).startswith("recurrence urnn computes with complex numbers")
    lstm, nowhere = runs.folder("cell=lstm", *SHORT), tmp_path / "nowhere" / "model.onnx"
    assert refused(lstm, out=nowhere).startswith(f"cannot write {nowhere}: No such file or directory. Write --out FILE")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert refused(lstm) == (
        "--format onnx needs what is not installed (onnxruntime): pip install 'momentum-exp[export]', "
        "or write --format pt2"
    )
