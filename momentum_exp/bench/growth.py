"""`python -m momentum_exp.bench.growth`: how a training step's time grows with T, N and B, on one and two threads."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from momentum_exp.bench.contenders import BASELINE, Contender
from momentum_exp.bench.measure import machine_facts, measure
from momentum_exp.files import write_text_whole
from momentum_exp.summary.style import COLOURS, figure_of, save, styled

LAYERS = {BASELINE: "#444444", "native lstm momentum": COLOURS["momentum"], "native lstm adam": COLOURS["adam"]}
AXES: dict[str, tuple[int, ...]] = {
    "steps": (98, 196, 392, 784, 1568, 3136),
    "hidden_size": (64, 128, 256, 512, 1024),
    "batch_size": (8, 32, 128, 512),
}
NAMES = {"steps": "T", "hidden_size": "N", "batch_size": "B"}
BASE = {"steps": 196, "hidden_size": 128, "batch_size": 128}
THREADS = {1: ":", 2: "-"}


def measured(axis: str, value: int, threads: int, repeats: int) -> list[dict[str, Any]]:
    """The layers in turn, with `value` on the axis and `BASE` on the others."""
    sizes: dict[str, Any] = {**BASE, axis: value}
    contenders = [Contender(layer, threads=threads, **sizes) for layer in LAYERS]
    rows = measure(contenders, repeats, warm_up=1, requests=("training",))
    return [{"axis": axis, **row} for row in rows]


@styled
def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One panel an axis: milliseconds a training step, logarithmic on both sides."""
    figure, axes = figure_of(1, len(AXES))
    for panel, axis in zip(axes[0], AXES, strict=True):
        for layer, colour in LAYERS.items():
            for threads, style in THREADS.items():
                line = [row for row in rows if (row["axis"], row["layer"], row["threads"]) == (axis, layer, threads)]
                panel.plot(
                    [row[axis] for row in line],
                    [row["training_median_ms"] for row in line],
                    style,
                    color=colour,
                    marker="o",
                    markersize=3,
                    label=f"{layer}, {threads} thread{'s' * (threads > 1)}",
                )
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(AXES[axis], [str(value) for value in AXES[axis]])
        panel.set_xlabel(NAMES[axis])
        panel.set_title(", ".join(f"{NAMES[name]} = {value}" for name, value in BASE.items() if name != axis))
    axes[0][0].set_ylabel("forward + backward, ms")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save(figure, path)


def main() -> None:
    """Measure, and write `growth.json` and `growth.png`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for growth.json and growth.png")
    parser.add_argument("--repeats", type=int, default=5, help="counted iterations of each contender")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for axis, values in AXES.items():
        for value in values:
            print(f"{NAMES[axis]} = {value}", file=sys.stderr)
            for threads in THREADS:
                rows += measured(axis, value, threads, arguments.repeats)
    facts = machine_facts()
    arguments.out.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"environment": facts, "rows": rows}, indent=1) + "\n"
    write_text_whole(arguments.out / "growth.json", content)
    draw(rows, arguments.out / "growth.png")


if __name__ == "__main__":
    main()
