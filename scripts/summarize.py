"""Table and figures of all finished runs under a folder: `python scripts/summarize.py runs`."""

import argparse
from pathlib import Path

from momentum_exp.exit_code import answering
from momentum_exp.files import write_text_whole
from momentum_exp.runs.load import typed_config
from momentum_exp.summary.draw import draw
from momentum_exp.summary.table import table
from momentum_exp.tracking.run_record import finished_runs


def summarize(runs_dir: Path, out: Path, vmax: float | None = None) -> str:
    """Write `table.md`, and figures in a folder for each data set, into `out`.

    Returns the table and where things are, to print. Raises UserError where there is no finished run, or one was made
    by a version with other keys.
    """
    runs, others = finished_runs(runs_dir)
    for run in runs:
        typed_config(run)
    text = table(runs)
    if others:
        text += f"\nNot counted: {', '.join(f'{what} ({count})' for what, count in sorted(others.items()))}.\n"
    written = [out / "table.md"]
    out.mkdir(parents=True, exist_ok=True)
    write_text_whole(out / "table.md", text)
    for data in dict.fromkeys(run.identity["data"] for run in runs):
        written += draw([run for run in runs if run.identity["data"] == data], out / data, vmax)
    return "\n".join(
        [text, f"Finished runs under {runs_dir}: {len(runs)}. Written:", *(f"  {file}" for file in written)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs_dir", type=Path, help="folder that has run folders at any depth")
    parser.add_argument("--out", type=Path, help="where to write; default: RUNS_DIR/summary")
    parser.add_argument("--vmax", type=float, help="linear heat map up to this norm; the paper's Figure 2: 0.05")
    arguments = parser.parse_args()
    with answering("summarize.py"):
        print(summarize(arguments.runs_dir, arguments.out or arguments.runs_dir / "summary", arguments.vmax))


if __name__ == "__main__":
    main()
