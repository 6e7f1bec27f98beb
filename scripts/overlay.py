"""Permuted MNIST runs beside the authors' curves: `python scripts/overlay.py RUN... --out results`."""

import argparse
import csv
import io
import sys
from pathlib import Path

from momentum_exp.errors import UserError
from momentum_exp.files import write_text_whole
from momentum_exp.paper.curves import pmnist_comparison, pmnist_overlay
from momentum_exp.paper.run_record import load_run


def overlay(run_dirs: list[Path], out: Path) -> str:
    """Write `pmnist_test_loss.csv` and `pmnist_overlay.png` into `out`; returns the record, to print.

    Raises UserError for a folder that is no run, or a run without a published curve.
    """
    runs = [load_run(path) for path in run_dirs]
    rows = pmnist_comparison(runs)
    record = io.StringIO()
    writer = csv.DictWriter(record, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    out.mkdir(parents=True, exist_ok=True)
    write_text_whole(out / "pmnist_test_loss.csv", record.getvalue())
    pmnist_overlay(runs, out / "pmnist_overlay.png")
    return record.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders: data=pmnist, N = 256")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    try:
        print(overlay(arguments.runs, arguments.out), end="")
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
