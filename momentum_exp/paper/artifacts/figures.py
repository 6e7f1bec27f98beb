"""Figures: `figure1` to `figure7` of conf/figure."""

from collections.abc import Sequence
from pathlib import Path

from momentum_exp.files import write_text_whole
from momentum_exp.paper.figure.caption import caption
from momentum_exp.paper.figure.specification import figure_names, load_figure
from momentum_exp.paper.study import Planned, check_scale
from momentum_exp.summary.style import save


def names() -> list[str]:
    """All figures there are."""
    return figure_names()


def needs(name: str, scale: str, seeds: Sequence[int]) -> list[Planned]:
    """The runs that the figure is drawn of, as far as they exist at `scale`."""
    check_scale(scale)
    return load_figure(name).needs(scale, seeds)


def render(name: str, scale: str, seeds: Sequence[int], runs: Path, out: Path) -> list[Path]:
    """Write the pictures, as PNG and SVG, and the caption `<name>.md` into `out`; the files written.

    Of a figure that does not exist at `scale` the caption alone. Raises UserError where no run is finished, or one is
    damaged.
    """
    check_scale(scale)
    figure = load_figure(name)
    drawing = figure.draw(name, scale, seeds, runs)
    pictures = [out / f"{name}{ending}.png" for ending in drawing.pictures]
    vectors = [path.with_suffix(".svg") for path in pictures]
    for paths in (pictures, vectors):
        for path, drawn in zip(paths, drawing.pictures.values(), strict=True):
            save(drawn, path)
    out.mkdir(parents=True, exist_ok=True)
    write_text_whole(out / f"{name}.md", caption(name, figure, drawing, seeds, pictures))
    return [*pictures, *vectors, out / f"{name}.md"]
