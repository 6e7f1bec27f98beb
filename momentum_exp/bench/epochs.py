"""`python -m momentum_exp.bench.epochs`: minutes an epoch of finished runs beside those in the authors' logs."""

import argparse
from pathlib import Path

from momentum_exp.files import write_text_whole
from momentum_exp.tracking.run_record import RunRecord, finished_runs

AUTHORS = {"lstm": 5.7, "momentumlstm": 6.9}
"""Minutes an epoch at N = 256, test pass included, on an unknown GPU, perhaps shared (release: logs)."""
AUTHORS_SIZE = 256


def row(run: RunRecord) -> str:
    """One finished run of one epoch as a line of the table."""
    epoch, config = run.epochs[0], run.config
    minutes = (epoch["seconds"] + epoch["eval_seconds"]) / 60
    cell, size = run.identity["cell"], config["cell"]["hidden_size"]
    theirs = AUTHORS.get(cell)
    published = f"{theirs:g} (N = {AUTHORS_SIZE})" if theirs else "--"
    speed = f"{theirs / minutes:.1f}" if theirs and size == AUTHORS_SIZE else "--"
    return f"| {cell} | {size} | {config['cell']['engine']} | {minutes:.2f} | {published} | {speed} |"


def main() -> None:
    """Print the table and write `epochs.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--out", type=Path, required=True, help="folder for epochs.md")
    arguments = parser.parse_args()
    runs, _ = finished_runs(arguments.runs)
    lines = [
        "| cell | N | engine | minutes an epoch here | authors' logs, minutes | theirs / ours |",
        "|---|---|---|---|---|---|",
    ]
    text = "\n".join([*lines, *map(row, runs)]) + "\n"
    print(text)
    write_text_whole(arguments.out / "epochs.md", text)


if __name__ == "__main__":
    main()
