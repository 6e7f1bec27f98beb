"""Reading `conf/figure`: which figures there are, and what draws them."""

from omegaconf import DictConfig, OmegaConf

from momentum_exp.command_line import conf_dir
from momentum_exp.errors import UserError
from momentum_exp.paper.figure.base import PaperFigure
from momentum_exp.paper.figure.cells import Cells
from momentum_exp.paper.figure.curves import Curves
from momentum_exp.paper.figure.grids import Grids
from momentum_exp.paper.figure.heat_maps import HeatMaps
from momentum_exp.paper.study import load_typed, unknown

WAYS: dict[str, type[PaperFigure]] = {"cells": Cells, "curves": Curves, "heat_maps": HeatMaps, "grids": Grids}
"""By the word after `draws:` in the file."""


def figure_names() -> list[str]:
    """All figures there are."""
    return sorted(file.stem for file in (conf_dir() / "figure").glob("*.yaml"))


def load_figure(name: str) -> PaperFigure:
    """The figure `name`. Raises UserError where there is none, or its file is not one."""
    if name not in figure_names():
        raise UserError(unknown("figure", name, figure_names()))
    path = conf_dir() / "figure" / f"{name}.yaml"
    content = OmegaConf.load(path)
    draws = content.get("draws") if isinstance(content, DictConfig) else None
    if draws not in WAYS:
        raise UserError(f"{path}: draws: {draws} is not one of {', '.join(WAYS)}")
    figure: PaperFigure = load_typed(path, WAYS[draws])
    return figure
