"""Run folders by name."""

from difflib import get_close_matches
from pathlib import Path

from momentum_exp.errors import UserError
from momentum_exp.tracking.run_folders import folders_with

MARKS = ("identity.json", "status.json")
"""Files that make a folder a run's, be it half deleted."""


def run_folders(runs: Path) -> list[Path]:
    """The folder of every run at or below `runs`, in the order of their paths. Raises UserError where it is none."""
    if not runs.is_dir():
        raise UserError(f"--runs {runs}: there is no such folder. Write --runs FOLDER, where run folders are")
    return sorted(folders_with(MARKS, runs))


def find_run(given: str, runs: Path) -> Path:
    """The run's folder: `given` itself, or the one below `runs` of this name, with or without its hash.

    Raises UserError where there is none or more than one.
    """
    path = Path(given)
    if any((path / mark).is_file() for mark in MARKS):
        return path
    if path.is_dir():
        raise UserError(f"{given} is no run's folder: it has neither {' nor '.join(MARKS)}")
    folders = run_folders(runs) if runs.is_dir() else []
    found = [folder for folder in folders if given in (folder.name, folder.name.rpartition("-")[0])]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{given} is the name of {len(found)} runs: write one of {', '.join(map(str, found))}")
    near = ", ".join(get_close_matches(given, [folder.name for folder in folders], cutoff=0.0)) or "no runs"
    raise UserError(f"{given} is neither a run's folder nor the name of a run below {runs}. Nearest there: {near}")
