"""`python -m momentum_exp.runs`: what there is in a folder of runs.

    status                  how far each run is, what is left, what failed and why
    list --where cell=lstm  what each run is, and its test metric by each selection rule; --csv for a spreadsheet
    show RUN                one run in full
    compare RUN RUN         several side by side: where their configurations differ, their metrics

RUN is a folder, or the name of a run below --runs, with or without its hash.
"""

import argparse
from pathlib import Path

from momentum_exp.errors import UserError
from momentum_exp.exit_code import answering
from momentum_exp.runs.facts import read_facts
from momentum_exp.runs.find import find_run, run_folders
from momentum_exp.runs.views import compare_view, csv_view, list_view, select, show_view, status_view


def parser() -> argparse.ArgumentParser:
    """The command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--runs", type=Path, default=Path("runs"), help="where run folders are; default: runs")
    top = argparse.ArgumentParser(
        prog="python -m momentum_exp.runs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True)
    for name in ("status", "list"):
        command = commands.add_parser(name, parents=[shared])
        command.add_argument(
            "--where", action="append", default=[], metavar="KEY=VALUE", help="only these, for example cell.mu=0.6"
        )
    command.add_argument("--csv", action="store_true", help="comma-separated values, in the records' units")
    commands.add_parser("show", parents=[shared]).add_argument("run", metavar="RUN")
    commands.add_parser("compare", parents=[shared]).add_argument("run", metavar="RUN", nargs="+")
    return top


def answer(arguments: argparse.Namespace) -> str:
    """What to print. Raises UserError."""
    if arguments.command == "show":
        return show_view(read_facts(find_run(arguments.run, arguments.runs)))
    if arguments.command == "compare":
        if len(arguments.run) < 2:
            raise UserError(f"compare {arguments.run[0]}: write at least two runs to compare")
        return compare_view([read_facts(find_run(given, arguments.runs)) for given in arguments.run])
    runs = select([read_facts(folder) for folder in run_folders(arguments.runs)], arguments.where)
    if not runs and arguments.where and not (arguments.command == "list" and arguments.csv):
        return f"no run below {arguments.runs} has {' and '.join(arguments.where)}"
    if arguments.command == "list":
        return csv_view(runs) if arguments.csv else list_view(runs)
    return status_view(runs)


def main() -> None:
    """Exit code 0: shown; 2: the command needs mending."""
    with answering("momentum_exp.runs"):
        print(answer(parser().parse_args()))


if __name__ == "__main__":
    main()
