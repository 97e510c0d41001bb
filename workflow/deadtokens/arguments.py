"""Arguments that several commands take."""

from argparse import ArgumentParser
from pathlib import Path

from deadtokens.errors import UserError


def add_run(parser: ArgumentParser) -> None:
    """Add the segments of a recorded run, or the folder that has them."""
    parser.add_argument(
        "segments",
        type=Path,
        nargs="+",
        help="segments of the run, in order, or the folder that has them",
    )


def add_first_segment(parser: ArgumentParser, updates: int) -> None:
    """Add the first segment of a run, and how many of its updates are written once more."""
    parser.add_argument("segment", type=Path, help="first segment of the run")
    parser.add_argument(
        "--updates", type=_at_least_one, default=updates, help="of which so many are written"
    )


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise UserError(f"--updates {text}: must be at least 1")
    return number


def add_output(parser: ArgumentParser, what: str = "NetCDF file to write") -> None:
    """Add the file that the command makes."""
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help=what)


def add_called(parser: ArgumentParser) -> None:
    """Add what vocabularies are called, where their names by content tell a reader nothing."""
    parser.add_argument(
        "--called",
        type=_called,
        action="append",
        default=[],
        metavar="IDENTITY=NAME",
        help="what a vocabulary is called",
    )


def _called(text: str) -> tuple[str, str]:
    identity, equals, name = text.partition("=")
    if not (identity and equals and name):
        raise UserError(f"--called {text}: must be IDENTITY=NAME")
    return identity, name


def add_stream(parser: ArgumentParser) -> None:
    """Add the tokens on which a run is trained."""
    parser.add_argument("--stream", type=Path, required=True, help="tokens of the corpus")


def add_untrained_run(parser: ArgumentParser) -> None:
    """Add what determines a run before anything of it is recorded."""
    parser.add_argument("--name", required=True, help="the run's identity")
    parser.add_argument("--spec", required=True, help="the run's spec, as JSON")
    add_stream(parser)
    parser.add_argument("--census", type=Path, required=True, help="census of the vocabulary")
