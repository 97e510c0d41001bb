"""Draw one figure: a PNG, a PDF, and the numbers that it shows as CSV.

A rule's fingerprint is that of the figure's own module, so that the edit of one figure redraws that
one alone: what changes a picture has no place here.
"""

import importlib
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from deadtokens.arguments import add_called
from deadtokens.figures import command
from deadtokens.study.figures import FIGURES, OF_MATRICES


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.formatter_class = RawDescriptionHelpFormatter
    sources = {name: f"{source.file} of {source.scope.value}" for name, source in FIGURES.items()}
    sources |= OF_MATRICES
    lines = [f"  {name:17} {source}" for name, source in sources.items()]
    parser.epilog = "\n".join(["figures:", *lines])
    parser.add_argument("name", choices=sources, help="of the figure")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what it is drawn from")
    parser.add_argument(
        "--output", required=True, type=Path, metavar="STEM.png", help=".pdf and .csv go beside it"
    )
    add_called(parser)
    parser.add_argument("--title", default="", help="stands small below the figure's own")


def main(options: Namespace) -> None:
    """Draw the figure that is named from the files that are."""
    figure = importlib.import_module(f"deadtokens.figures.{options.name}")
    command.make(figure.RECIPE, options)
