"""The paper's vanishing-gradient argument, computed: `python scripts/vanishing_gradient.py --out results`."""

import argparse
from pathlib import Path

import torch

from momentum_exp.files import write_text_whole
from momentum_exp.theory.curves import curves_of, record, table
from momentum_exp.theory.figure import vanishing_figure
from momentum_exp.theory.subjects import digits_float64, trained, untrained

MUS = (0.0, 0.6, 0.9, 0.999)
NORMS = (0.5, 1.0)
SAMPLES = 64


def vanishing_gradient(out: Path) -> str:
    """Write `vanishing_gradient.csv` and `vanishing_gradient.png` into `out`; returns a table of the cells."""
    dataset = digits_float64()
    batch = dataset.test.limit(SAMPLES)
    panels = {
        rf"untrained, $\|U\|_2 = {norm:g}$": [curves_of(untrained(mu, norm), batch) for mu in MUS] for norm in NORMS
    }
    learned = [curves_of(trained(mu, dataset), batch) for mu in MUS]
    norms = [curves.subject.norm for curves in learned]
    panels[rf"trained, $\|U\|_2$ from {min(norms):.1f} to {max(norms):.1f}"] = learned

    every = [curves for group in panels.values() for curves in group]
    out.mkdir(parents=True, exist_ok=True)
    write_text_whole(out / "vanishing_gradient.csv", record(every))
    vanishing_figure(panels, out / "vanishing_gradient.png")
    return table(every)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # so that the trained cells come out the same on every run
    print(vanishing_gradient(arguments.out), end="")


if __name__ == "__main__":
    main()
