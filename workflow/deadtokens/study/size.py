"""Say how much disk space a study's records will take, before anything runs."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from deadtokens.errors import UserError
from deadtokens.study.study import Study
from deadtokens.training.size import predicted_bytes


def sizes(study: Study) -> Iterator[tuple[str, int, int]]:
    """Yield each run, its number of segments, and the bytes of one segment."""
    longest: dict[str, int] = {}
    for member in study.members:
        longest[member.run] = max(member.steps, longest.get(member.run, 0))
    for run, steps in longest.items():
        spec = study.runs[run]
        tokens = study.vocabularies[spec.vocabulary].size
        yield run, len(study.segments(run, steps)), predicted_bytes(spec, tokens)


def read_configuration(paths: Sequence[Path]) -> dict:
    """Return configuration files merged as Snakemake merges them, later ones over earlier ones.

    Raises
    ------
    UserError
        If a file is missing or is not YAML.
    """
    merged: dict = {}
    for path in paths:
        try:
            _merge(merged, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        except (OSError, yaml.YAMLError) as error:
            raise UserError(f"{path}: not a readable configuration ({error})") from None
    return merged


def _merge(values: dict, over: dict) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def main(arguments: Sequence[str]) -> None:
    """Run the command ``size``."""
    parser = argparse.ArgumentParser(prog="deadtokens size", description=__doc__)
    parser.add_argument(
        "configuration", type=Path, nargs="+", help="config/config.yaml and overlays, in order"
    )
    options = parser.parse_args(arguments)
    total = 0
    for run, segments, size in sizes(Study(read_configuration(options.configuration))):
        total += segments * size
        logging.getLogger(__name__).info(
            f"{run}: {segments} segments of {size / 1e6:,.0f} MB, {segments * size / 1e9:.2f} GB"
        )
    logging.getLogger(__name__).info(f"all records: {total / 1e9:.2f} GB")


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
