"""The command line that all figures share."""

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.errors import UserError
from deadtokens.figures import style

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What makes a figure: its name and title, how to open its inputs, the numbers, the drawing."""

    name: str
    title: str
    inputs: str
    open: Callable[[Sequence[Path]], list[xr.Dataset]]
    table: Callable[[Sequence[xr.Dataset]], pd.DataFrame]
    draw: Callable[[pd.DataFrame], Figure]


def make(recipe: Recipe, arguments: Sequence[str]) -> None:
    """Draw a figure from its input files and write it as PNG, PDF and CSV.

    Raises
    ------
    UserError
        If the output does not end in .png or an input cannot be used.
    """
    options = _options(recipe, arguments)
    if options.output.suffix != ".png":
        raise UserError(f"--output {options.output} must end in .png (.pdf and .csv go beside it)")
    table = recipe.table(recipe.open(options.files))
    figure = recipe.draw(table)
    style.set_title(figure, ": ".join(filter(None, [recipe.title, options.title])))
    style.save(figure, table, options.output.with_suffix(""))
    log.info("figure %s: %s numbers drawn in %s", recipe.name, f"{len(table):,}", options.output)


def _options(recipe: Recipe, arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"deadtokens figure {recipe.name}")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=recipe.inputs)
    parser.add_argument(
        "--output", required=True, type=Path, metavar="STEM.png", help=".pdf and .csv go beside it"
    )
    parser.add_argument("--title", default="", help=f'stands after "{recipe.title}:"')
    return parser.parse_args(arguments)
