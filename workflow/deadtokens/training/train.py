"""Train and record one segment of a run, from the checkpoint before it.

Apart from `segment`, which is what determines a record: a better prediction of its size, which is
asked for here, must not train it again.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from deadtokens.arguments import add_untrained_run
from deadtokens.run.spec import read_spec
from deadtokens.text.read import read_census
from deadtokens.training.segment import train_segment
from deadtokens.training.size import ensure_room


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_untrained_run(parser)
    parser.add_argument("--segment", type=int, required=True, help="number of the segment, from 0")
    parser.add_argument("--previous", type=Path, help="checkpoint of the segment before")
    parser.add_argument("--trajectory", type=Path, required=True, help="segment to write")
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint to write")
    parser.add_argument(
        "--elsewhere",
        action="store_true",
        help="go on on another machine than before, whose bits may be others",
    )
    parser.add_argument(
        "--code",
        default="",
        metavar="FINGERPRINT",
        help="of this code: what it has finished from the same files here stays as it is",
    )


def main(options: Namespace) -> None:
    """Run the command ``train``."""
    spec = read_spec(options.spec)
    tokens = read_census(options.census).sizes["token"]
    train_segment(
        options.name,
        spec,
        options.segment,
        options.stream,
        options.census,
        options.previous,
        options.trajectory,
        options.checkpoint,
        ensure_room(spec, tokens, options.trajectory),
        options.elsewhere,
        options.code,
    )
