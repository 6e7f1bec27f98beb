"""From names to files: what is asked for is planned, what is missing is run, what there is is made."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from momentum_exp.errors import UserError
from momentum_exp.exit_code import DONE, FAILED, MISTAKEN
from momentum_exp.paper.artifacts import EVERYTHING, Artifact, artifact_names, resolve
from momentum_exp.paper.estimate import describe
from momentum_exp.paper.gather import ENDED, check_runs, gather
from momentum_exp.paper.progress import OPEN, RETRIED, Progress, progress
from momentum_exp.paper.study import Planned, check_scale, parse_seeds
from momentum_exp.paper.work import SUBPROCESSES, Failure, check_launcher, jobs, work
from momentum_exp.runs.state import MEND


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments, with what there is to make."""
    made = ", ".join([*artifact_names(), EVERYTHING])
    parser = argparse.ArgumentParser(prog="python -m momentum_exp.paper", description=description)
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"what to make: {made} (all), or a table's YAML file")
    parser.add_argument("--scale", default="reduced", help="full, reduced (fits a CPU) or smoke; default: reduced")
    parser.add_argument("--seeds", default="3", help="how many, or which: 5 or 0,2,3; default: 3")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs; default: runs")
    parser.add_argument("--out", type=Path, default=Path("results"), help="write into OUT/SCALE; default: results")
    parser.add_argument("--jobs", type=positive, default=1, help="runs at a time; default: 1")
    parser.add_argument(
        "--launcher",
        default=SUBPROCESSES,
        help="of Hydra's, with its settings: 'submitit_slurm hydra.launcher.partition=gpu'",
    )
    parser.add_argument("--retry", action="store_true", help="run again what has failed or diverged")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--plan", action="store_true", help="say what is done and missing, in hours; run nothing")
    only.add_argument("--only-render", action="store_true", help="run nothing, make it of the runs there are")
    return parser


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"JOBS={text}: takes a whole number, 1 or more. Write --jobs 2")
    return int(text)


def make(arguments: argparse.Namespace) -> int:
    """Plan, run, render. Returns the exit code; raises UserError, and KeyboardInterrupt where runs are interrupted."""
    check_scale(arguments.scale)
    check_launcher(arguments.launcher)
    seeds, runs, out = parse_seeds(arguments.seeds), arguments.runs, arguments.out / arguments.scale
    artifacts = resolve(arguments.names)
    planned = [run for artifact in artifacts for run in artifact.kind.needs(artifact.name, arguments.scale, seeds)]
    check_runs(runs, needed=arguments.only_render and bool(planned))
    if not arguments.plan:
        check_writable(out)
    gather(planned, runs, ENDED)  # what can't be used is said now, not after hours
    before = progress(planned, runs)
    again = RETRIED if arguments.retry else ()
    print(describe(before, arguments.jobs, (*OPEN, *again)), flush=True)
    if arguments.plan:
        return DONE
    failures = [] if arguments.only_render else run_missing(before, again, arguments)
    made = [render(artifact, arguments.scale, seeds, runs, out) for artifact in artifacts]
    code = report_failures(failures, [] if arguments.retry else [one for one in before if one.state in RETRIED])
    return code or (DONE if all(made) else MISTAKEN)


def check_writable(out: Path) -> None:
    """Make the folder `out`; raise UserError where nothing can be written there, before anything is run."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}. Write --out FOLDER (with make: OUT=FOLDER)") from error


def run_missing(found: list[Progress], again: tuple[str, ...], arguments: argparse.Namespace) -> list[Failure]:
    """Run what is open, and anew what is in a state of `again`; a line for each run as it ends."""
    todo = [
        job
        for states, retry in ((OPEN, False), (again, True))
        for job in jobs(_runs(found, states), arguments.runs, arguments.launcher, arguments.jobs, retry)
    ]
    failures = []
    with closing(work(todo, arguments.jobs if arguments.launcher == SUBPROCESSES else 1)) as ended:
        for count, (job, failure) in enumerate(ended, start=1):
            print(f"[{count}/{len(todo)}] {job.name}: {failure.error if failure else job.states}", flush=True)
            if failure:
                failures.append(failure)
    return failures


def _runs(found: list[Progress], states: tuple[str, ...]) -> list[Planned]:
    return [one.run for one in found if one.state in states]


def render(artifact: Artifact, scale: str, seeds: Sequence[int], runs: Path, out: Path) -> bool:
    """Make one artifact and say which files it is, or why it can't be made; whether it was."""
    try:
        for file in artifact.kind.render(artifact.name, scale, seeds, runs, out):
            print(f"{artifact.name}: {file}", flush=True)
    except UserError as error:
        print(f"momentum_exp.paper: error: {artifact.name}: {error}", file=sys.stderr)
        return False
    except OSError as error:
        raise UserError(f"cannot write {error.filename or out}: {error.strerror}. Write --out FOLDER") from error
    return True


def report_failures(failures: list[Failure], left: list[Progress]) -> int:
    """List on standard error what failed now, and what failed or diverged earlier; the exit code that follows."""
    lines = [line for failure in failures for line in failure.lines]
    for one in left:
        mend = "" if one.now.error.endswith(MEND) else "; --retry runs it again"
        lines.append(f"{one.folder}: {one.state} earlier: {one.now.error}{mend}")
    if lines:
        print(f"\n{len(lines)} failed:", *(f"  {line}" for line in lines), sep="\n", file=sys.stderr)
    return FAILED if lines else DONE
