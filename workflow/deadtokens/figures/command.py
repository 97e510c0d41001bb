"""The command line that all figures share."""

import logging
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.errors import UserError
from deadtokens.figures import style
from deadtokens.figures.inputs import as_called, not_recorded, partly_recorded
from deadtokens.figures.product import Product

LONGEST_TITLE = 2000  # characters

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


def make(recipe: Recipe, options: Namespace) -> None:
    """Draw a figure from its input files and write it as PNG, PDF and CSV.

    Raises
    ------
    UserError
        If the output does not end in .png, would replace a file that is not this figure's, or an
        input cannot be used.
    """
    if options.output.suffix != ".png":
        raise UserError(f"--output {options.output} must end in .png (.pdf and .csv go beside it)")
    if len(options.title) > LONGEST_TITLE:
        raise UserError(
            f"--title has {len(options.title):,} characters: no figure holds more than "
            f"{LONGEST_TITLE:,}; give a shorter one"
        )
    product = Product(recipe.name, options.output.with_suffix(""))
    product.check_inputs(options.files)
    with _blaming(recipe, options.files):
        opened = as_called(recipe.open(options.files), dict(options.called))
        lacking = not_recorded(opened)
        table = recipe.table([data for data in opened if not not_recorded([data])])
        nothing = bool(lacking) and len(lacking) == len(opened)
        figure = style.empty("not recorded") if nothing else recipe.draw(table)
        style.set_title(figure, recipe.title, _below(options.title, opened))
        product.check_replaceable(table)
        product.write(figure, table)
    log.info("figure %s: %s numbers drawn in %s", recipe.name, f"{len(table):,}", options.output)


def _below(title: str, opened: Sequence[xr.Dataset]) -> str:
    """Return what stands below a figure's title: whose it is, and what is not recorded of whom."""
    lacking = ", ".join(not_recorded(opened))
    absent = f"what it shows cannot be had of: {lacking}" if lacking else ""
    return "; ".join(filter(None, (title, absent, *partly_recorded(opened))))


@contextmanager
def _blaming(recipe: Recipe, files: Sequence[Path]) -> Iterator[None]:
    """Say of whatever goes wrong that it is the files' fault: nothing else determines a figure.

    What a damaged or a foreign file makes of the way from numbers to pictures cannot be foreseen.
    Errors of the system, as a full disk, are none of the files.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        named = ", ".join(str(file) for file in files)
        raise UserError(
            f"{named}: cannot be drawn as {recipe.name} ({type(error).__name__}: {error}), which "
            f"takes {recipe.inputs}; if they are that, make them again"
        ) from error
