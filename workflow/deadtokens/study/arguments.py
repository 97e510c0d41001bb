"""Arguments of commands that go through a whole study."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.study.files import read_configuration
from deadtokens.study.study import Study


def add_study(parser: ArgumentParser) -> None:
    """Add the configuration, by files or as a text, and the folder of the results."""
    parser.add_argument(
        "configuration", type=Path, nargs="*", help="config/config.yaml and overlays, in order"
    )
    parser.add_argument("--study", metavar="JSON", help="the merged configuration instead")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        default=Path("results"),
        help="where the results are (default: results)",
    )


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
