"""`python -m momentum_exp.bench.profile --out FILE OVERRIDES`: which share of a run's training each part of a step has.

The run is the command line's own, under Python's profiler, whose cost is small here: a step is few and long calls.
"""

import argparse
import cProfile
import pstats
import sys
from pathlib import Path
from typing import Any

import momentum_exp.training.loop
from momentum_exp.__main__ import main as run_command
from momentum_exp.files import write_text_whole

APART = {"epoch_record", "checkpoint", "build_optimizer", "resume", "total_steps", "to", "start"}
"""What the loop calls outside its steps."""
SMALL = 0.001


def parts(profile: cProfile.Profile) -> dict[str, float]:
    """Seconds in each function that the training loop calls in its steps, and in the loop's own lines."""
    loop = momentum_exp.training.loop.__file__
    everything: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    train = next(where for where in everything if where[0] == loop and where[2] == "train")
    seconds = {"the loop's own lines": everything[train][2]}
    for (file, _, name), (*_, callers) in everything.items():
        if train in callers and name not in APART:
            short = f"{Path(file).stem}.{name}" if file != "~" else name
            seconds[short] = seconds.get(short, 0.0) + callers[train][3]
    return seconds


def table(seconds: dict[str, float]) -> str:
    """The parts by size, as Markdown; those below 0.1% are one line."""
    whole = sum(seconds.values())
    shares = sorted(((spent / whole, name) for name, spent in seconds.items()), reverse=True)
    lines = ["| part | share |", "|---|---|"]
    lines += [f"| {name} | {share:.1%} |" for share, name in shares if share >= SMALL]
    lines.append(f"| all else | {sum(share for share, _ in shares if share < SMALL):.1%} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, print the table, and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the Markdown file to write")
    parser.add_argument("overrides", nargs="+", help="as for python -m momentum_exp")
    arguments = parser.parse_args()
    profile = cProfile.Profile()
    sys.argv = ["momentum_exp", *arguments.overrides]
    try:
        profile.runcall(run_command)
    except SystemExit as end:
        if end.code:
            raise
    text = f"`{' '.join(arguments.overrides)}`\n\n{table(parts(profile))}"
    print(text)
    write_text_whole(arguments.out, text)


if __name__ == "__main__":
    main()
