"""``deadtokens figure NAME ...``: draw one figure, for a rule or by hand.

A rule's fingerprint is that of the figure's own module, so that the edit of one figure redraws that
one alone: what changes a picture has no place here.
"""

import argparse
import importlib
from collections.abc import Sequence

from deadtokens.figures import command
from deadtokens.study.figures import FIGURES


def main(arguments: Sequence[str]) -> None:
    """Draw the figure that the first argument names from the files that the others name."""
    parser = argparse.ArgumentParser(prog="deadtokens figure")
    parser.add_argument("name", choices=FIGURES, help="then: --help for what this figure takes")
    name = parser.parse_args(arguments[:1]).name
    figure = importlib.import_module(f"deadtokens.figures.{name}")
    command.make(figure.RECIPE, arguments[1:])


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
