"""`python -m momentum_exp.export RUN --out model.onnx`: the classifier of a finished run as one file for inference.

ONNX, or with `--format pt2` what torch.export.load reads. Batch and number of steps are free in both.
"""

import argparse
import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from momentum_exp.cells import Recurrent
from momentum_exp.cells.constraints.fixed import fix_constraints
from momentum_exp.errors import UserError
from momentum_exp.exit_code import answering
from momentum_exp.files import write_whole
from momentum_exp.runs.find import find_run
from momentum_exp.runs.load import trained_model, typed_config
from momentum_exp.tasks.classification import Classification
from momentum_exp.tracking.run_record import RunRecord, read_run

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
CHECKED = ((1, 1), (3, 100), (2, 784))  # (B, T) of the random sequences that exported and eager model are compared on
FREE = ({0: Dim("batch"), 1: Dim("steps")},)
TOLERANCE = 1e-3  # of the largest logit


def trained_classifier(run: RunRecord) -> tuple[Classification, str]:
    """The model of a finished run as it was evaluated last, ready for inference, and which weights these are.

    Constrained weights are fixed matrices. Raises UserError for another task, a run that has not finished, or a
    checkpoint that can't be read.
    """
    task, state = run.config.get("task", {}).get("name"), run.status.get("state")
    if task != "classification":
        raise UserError(f"{run.path}: task.name={task}; what can be exported is a run of task.name=classification")
    if state != "finished":
        raise UserError(f"{run.path}: the run is {state}, not finished; the command that started it goes on with it")
    model, which = trained_model(run, typed_config(run))
    assert isinstance(model, Classification)
    fix_constraints(model)
    return model.requires_grad_(False), which


def graph(model: Classification) -> ExportedProgram:
    """The model as a torch.export graph: x (batch, steps, D) to logits (batch, classes), both dimensions free."""
    x_BTD = torch.rand(2, 4, model.cell.input_size)
    program = torch.export.export(model, (x_BTD,), dynamic_shapes=FREE)
    for module in program.graph_module.modules():
        for node in getattr(module, "graph", program.graph).nodes:
            node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def to_onnx(program: ExportedProgram) -> bytes:
    """The content of an ONNX file with the input `x` and the output `logits`."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["logits"], "dynamic_shapes": FREE}
    converted = torch.onnx.export(program, dynamo=True, verbose=False, **names)
    assert converted is not None
    ClearMetadataAndDocStringPass()(converted.model)
    content: bytes = converted.model_proto.SerializeToString()
    return content


def run_onnx(content: bytes) -> Callable[[Tensor], Tensor]:
    """The model of an ONNX file, run by onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; it warns of unused constants
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda x_BTD: torch.from_numpy(session.run(None, {"x": x_BTD.numpy()})[0])


def to_pt2(program: ExportedProgram) -> bytes:
    """The content of a file for torch.export.load."""
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def run_pt2(content: bytes) -> Callable[[Tensor], Tensor]:
    """The model of a file that `to_pt2` made."""
    module: Callable[[Tensor], Tensor] = torch.export.load(io.BytesIO(content)).module()
    return module


FORMATS = {"onnx": (to_onnx, run_onnx), "pt2": (to_pt2, run_pt2)}


def check_format(name: str, cell: Recurrent) -> None:
    """Raise UserError where the packages for a format are missing, or it can't hold the cell."""
    if name != "onnx":
        return
    if missing := [package for package in PACKAGES if find_spec(package) is None]:
        raise UserError(
            f"--format onnx needs what is not installed ({', '.join(missing)}): "
            "pip install 'momentum-exp[export]', or write --format pt2"
        )
    if cell.recurrence.complex_valued:
        raise UserError(
            f"recurrence {cell.recurrence.name} computes with complex numbers, which ONNX's products do not take; "
            "write --format pt2"
        )


def difference(model: Classification, other: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """The largest difference of logits between the two on random sequences, and the largest logit."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.rand(*shape, model.cell.input_size, generator=generator) for shape in CHECKED]
    pairs = [(model(x_BTD), other(x_BTD)) for x_BTD in inputs]
    return max(float((a - b).abs().max()) for a, b in pairs), max(float(a.abs().max()) for a, _ in pairs)


def export(folder: Path, out: Path, form: str) -> str:
    """Write the model of the run in `folder` to `out`; what was written, to print. Raises UserError."""
    run = read_run(folder)
    model, which = trained_classifier(run)
    check_format(form, model.cell)
    write, read = FORMATS[form]
    content = write(graph(model))
    largest, scale = difference(model, read(content))
    if not largest <= TOLERANCE * scale:
        raise RuntimeError(f"the exported model differs from eager by {largest:.1e}, logits up to {scale:.1e}")
    try:
        write_whole(out, lambda file: file.write(content))
    except OSError as error:
        raise UserError(
            f"cannot write {out}: {error.strerror}. Write --out FILE in a folder that can be written"
        ) from error
    accuracy = ((run.status.get("summary") or {}).get("final") or {}).get("test_accuracy")
    return "\n".join(
        [
            f"{folder}: {which}, test accuracy {run.metric.show(accuracy)}",
            f"{out}: {len(content):,} bytes; x (batch, steps, {model.cell.input_size}) to "
            f"logits (batch, {model.readout.out_features}), float32, any batch and number of steps",
            f"largest difference from eager: {largest:.1e}, logits up to {scale:.1f}, "
            f"random sequences of {', '.join(str(steps) for _, steps in CHECKED)} steps",
        ]
    )


def main() -> None:
    """Exit code 0: written; 2: the command needs mending."""
    parser = argparse.ArgumentParser(prog="python -m momentum_exp.export", description=__doc__)
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name below --runs, with or without the hash")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--format", choices=tuple(FORMATS), default="onnx", help="default: onnx")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run folders are; default: runs")
    arguments = parser.parse_args()
    with answering("momentum_exp.export"):
        print(export(find_run(arguments.run, arguments.runs), arguments.out, arguments.format))


if __name__ == "__main__":
    main()
