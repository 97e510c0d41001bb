"""Measure recording against its targets: python benchmarks/recording.py --target all.

Everything that is compared is measured in one call, in turns (A B A B ...); ratios are taken round
by round. Shown are medians over the rounds, and the smallest and largest where they differ.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from arms import build_trainer, train_recorded
from memory import memory_rows
from overhead import baseline_rows, measure_arms, overhead_rows
from reading import reading_rows, size_rows
from study import Run, describe, lines, load_average, load_run

from deadtokens.cli import reported
from deadtokens.errors import UserError
from deadtokens.run import layout
from deadtokens.trajectory.segments import list_segments

REPOSITORY = Path(__file__).parents[1]
TARGETS = ("overhead", "baseline", "size", "memory", "reading")
LENGTHS = (190, 380)  # updates of a segment: three chunks along the step axis, and six


def measure(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the tables that are asked for."""
    run = load_run(options.config, options.results)
    segment = run.spec.record.segment
    updates = options.updates or segment
    if updates > segment and updates % segment:
        raise UserError(f"--updates: {updates} is not a number of whole segments of {segment}")
    wanted = TARGETS if options.target == "all" else (options.target,)
    with TemporaryDirectory() as folder:
        recorded = options.results / "runs" / run.name / "trajectory"
        files = list_segments(recorded) if recorded.is_dir() else []
        yield describe(run.spec)
        yield f"run {run.name}; {updates} updates, {options.repeats} rounds; load {load_average()}"
        yield from _training_tables(run, updates, options.repeats, wanted)
        if "memory" in wanted:
            lengths = sorted({min(length, updates) for length in LENGTHS})
            yield from lines("Peak memory", memory_rows(run, lengths, options.repeats))
        if {"size", "reading"} & set(wanted):
            files = files or [_record(run, min(updates, segment), Path(folder))]
            yield from _file_tables(files, Path(folder), options.repeats, wanted)
        yield f"\nload at the end {load_average()}"


def _training_tables(run: Run, updates: int, repeats: int, wanted: Sequence[str]) -> Iterator[str]:
    arms = {"bare", "recorded"}
    arms |= {"unrecorded"} if "overhead" in wanted else set()
    arms |= {"stepwise"} if "baseline" in wanted else set()
    if len(arms) == 2:
        return
    measured = measure_arms(run, updates, repeats, sorted(arms))
    if "overhead" in wanted:
        yield from lines("Training while recording", overhead_rows(measured, updates))
    if "baseline" in wanted:
        yield from lines("Against one step at a time", baseline_rows(measured, updates))


def _file_tables(
    files: list[Path], folder: Path, repeats: int, wanted: Sequence[str]
) -> Iterator[str]:
    if "size" in wanted:
        yield from lines(f"Size of {files[0].parent}", size_rows(files, folder))
    if "reading" in wanted:
        title = f"Reading {files[0]} as float32, page cache warm"
        yield from lines(title, reading_rows(files[0], folder, repeats))


def _record(run: Run, updates: int, folder: Path) -> Path:
    """Return a segment made now, where the results have none."""
    segment = folder / layout.segment_name(0)
    train_recorded(build_trainer(run, updates, threads=1), updates, segment, run.census)
    return segment


def main(arguments: Sequence[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=(*TARGETS, "all"), required=True)
    parser.add_argument(
        "--updates",
        type=int,
        help="length of the trainings: part of a segment, or whole ones; default: one",
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds of each comparison")
    parser.add_argument("--config", type=Path, default=REPOSITORY / "config" / "config.yaml")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results")
    options = parser.parse_args(arguments)
    if options.repeats < 1 or (options.updates or 1) < 1:
        raise UserError("--updates and --repeats must be at least 1")
    for line in measure(options):
        print(line, flush=True)


if __name__ == "__main__":
    with reported(log=None):
        main(sys.argv[1:])
