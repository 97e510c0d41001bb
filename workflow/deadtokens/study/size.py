"""Say how much disk space a study's records will take, before anything runs."""

import logging
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from deadtokens.run.spec import RunSpec
from deadtokens.study.files import read_configuration
from deadtokens.study.study import Study
from deadtokens.training.size import predicted_bytes

START_MINUTES = 5  # of a job: the libraries from a shared disk, the text, the first update
SLOW_CORE = 5e9  # operations a second; an idle core of 2021 does four times as many


def sizes(study: Study) -> Iterator[tuple[str, int, int]]:
    """Yield each run, its number of segments, and the bytes of one segment."""
    longest: dict[str, int] = {}
    for member in study.members:
        longest[member.run] = max(member.steps, longest.get(member.run, 0))
    for run, steps in longest.items():
        spec = study.runs[run]
        tokens = study.vocabularies[spec.vocabulary].size
        yield run, len(study.segments(run, steps)), predicted_bytes(spec, tokens)


def predicted_minutes(spec: RunSpec, tokens: int) -> int:
    """Return a time limit for the training of one segment, in minutes: what a slow core needs.

    Matrix products are nearly all of the work: each weight of the model takes part in 6 operations
    a position (2 forward, 4 backward).

    Parameters
    ----------
    spec : RunSpec
    tokens : int
        Size of the vocabulary.
    """
    blocks = spec.layers * 12 * spec.width**2
    weights = tokens * spec.width + blocks
    operations = 6 * weights * spec.batch * spec.context * spec.record.segment
    return START_MINUTES + math.ceil(operations / SLOW_CORE / 60)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "configuration", type=Path, nargs="+", help="config/config.yaml and overlays, in order"
    )


def main(options: Namespace) -> None:
    """Run the command ``size``."""
    total = 0
    for run, segments, size in sizes(Study(read_configuration(options.configuration))):
        total += segments * size
        logging.getLogger(__name__).info(
            f"{run}: {segments} segments of {size / 1e6:,.0f} MB, {segments * size / 1e9:.2f} GB"
        )
    logging.getLogger(__name__).info(f"all records: {total / 1e9:.2f} GB")
