"""Arguments of commands that go through a whole study."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.study.files import read_configuration
from deadtokens.study.study import Study


def add_configuration(parser: ArgumentParser, nargs: str = "+") -> None:
    """Add the files of the configuration."""
    parser.add_argument(
        "configuration", type=Path, nargs=nargs, help="config/config.yaml and overlays, in order"
    )


def add_results(parser: ArgumentParser, about: str = "where the results are") -> None:
    """Add the folder of the results."""
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        default=Path("results"),
        help=f"{about} (default: results)",
    )


def add_study(parser: ArgumentParser) -> None:
    """Add the configuration, by files or as a text, and the folder of the results."""
    add_configuration(parser, "*")
    parser.add_argument("--study", metavar="JSON", help="the merged configuration instead")
    add_results(parser)


def study_of(options: Namespace) -> Study:
    """Return the study that the arguments name.

    Raises
    ------
    UserError
        If there is no configuration, or there are two, or it is wrong.
    """
    if bool(options.configuration) == bool(options.study):
        raise UserError("give the configuration's files, or the configuration by --study")
    if options.study is None:
        return Study(read_configuration(options.configuration))
    try:
        return Study(json.loads(options.study))
    except json.JSONDecodeError as error:
        raise UserError(f"--study: is no JSON ({error})") from None
