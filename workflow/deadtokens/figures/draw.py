"""``deadtokens figure NAME ...``: draw one figure by hand.

Rules run the figures' own modules, so that a figure depends on its own code only.
"""

import argparse
import importlib
from collections.abc import Sequence

FIGURES = (
    "loss",
    "frozen",
    "displacement",
    "phases",
    "survival",
    "ulps",
    "strata",
    "sharpening",
    "path",
    "scree",
    "directions",
    "dependence",
    "bulk",
    "census",
    "audit",
    "shares",
    "ages",
    "causes",
    "flow",
    "riddle",
    "firststep",
    "pathways",
    "second_moment",
    "sharpness",
    "storage",
    "tensors",
)


def main(arguments: Sequence[str]) -> None:
    """Hand the arguments after the figure's name to the figure's module."""
    parser = argparse.ArgumentParser(prog="deadtokens figure")
    parser.add_argument("name", choices=FIGURES, help="then: --help for what this figure takes")
    name = parser.parse_args(arguments[:1]).name
    importlib.import_module(f"deadtokens.figures.{name}").main(arguments[1:])


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
