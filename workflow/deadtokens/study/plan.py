"""Say what a study takes before it starts: runs, updates, bytes, CPU time by stage.

Refuses what the disk has no room for.
"""

import csv
import logging
import os
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deadtokens.files import complete_or_absent
from deadtokens.run.spec import RunSpec
from deadtokens.seal import seal_path
from deadtokens.study.arguments import add_configuration, add_results
from deadtokens.study.claims import Claim, claims_of
from deadtokens.study.estimates import ANALYSES, SLOW_CORE, TYPICAL, training_seconds
from deadtokens.study.files import check_folder_of_results, read_configuration
from deadtokens.study.inventory import STAGES, File, files_of
from deadtokens.study.models import models_of
from deadtokens.study.needed import read_from_records
from deadtokens.study.room import ensure_room, in_words, size_in_words
from deadtokens.study.study import Study
from deadtokens.study.wanted import check_figures

FIRST = ("experiment", "runs", "seeds", "updates", "to train", "segments", "records")
MOST_NAMED = 20  # runs whose records are listed one by one
TIMES = {
    "training": ["training"],
    "analyses": list(ANALYSES),
    "text, models, figures": ["text", "models", "figures"],
}

log = logging.getLogger(__name__)


class Row(NamedTuple):
    """A row of the table for scripts: files of an experiment, of one run and one stage.

    Attributes
    ----------
    experiment : str
        '' stands for the whole study: these rows have once what experiments share, and models,
        which belong to none.
    run : str
        '' if the files are not of one run.
    stage : str
    present : bool
        Whether these files are there already.
    updates, segments, bytes : int
        Sums over the files.
    seconds : float
        CPU time in which a typical core makes them.
    """

    experiment: str
    run: str
    stage: str
    present: bool
    updates: int
    segments: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Part:
    """What an experiment, or the whole study, needs and draws.

    Attributes
    ----------
    runs : dict of str to RunSpec
    present, missing : list of File
        What is in the results already, and what is to be made. What was released or is read no
        more, records and pinned models, is present and has 0 bytes.
    """

    runs: Mapping[str, RunSpec]
    present: Sequence[File]
    missing: Sequence[File]

    @property
    def files(self) -> list[File]:
        """All files."""
        return [*self.present, *self.missing]

    def seconds(self, stages: Iterable[str]) -> float:
        """Return the CPU time of what is to be made in some stages."""
        return sum(file.seconds for file in self.missing if file.stage in stages)


def parts_of(study: Study, results: Path, claims: Collection[Claim] = ()) -> dict[str, Part]:
    """Return what each experiment makes, and under '' what the whole study does."""
    experiments = {name: [name] for name in study.experiments} | {"": None}
    return {name: _part(study, names, results, claims) for name, names in experiments.items()}


def _part(
    study: Study, experiments: Sequence[str] | None, results: Path, claims: Collection[Claim]
) -> Part:
    released, examined = _released(study, results, claims), _examined(study, results)
    split: dict[bool, list[File]] = {True: [], False: []}
    for file in files_of(study, experiments, claims):
        present = _is_present(file.path, results, file.sealed)
        recorded = file.stage == "training" and file.run in released
        gone = not present and (recorded or file.path in examined)
        split[present or gone].append(file._replace(bytes=0) if gone else file)
    asked = study.experiments if experiments is None else experiments
    names = [member.run for name in asked for member in study.experiments[name].members]
    return Part({name: study.runs[name] for name in names}, split[True], split[False])


def _released(study: Study, results: Path, claims: Collection[Claim]) -> set[str]:
    """Return the runs of whose record nothing more is needed, where records are not kept."""
    if not study.releases:
        return set()
    return {
        run
        for run, files in read_from_records(study, claims).items()
        if all(_is_present(file, results, sealed=True) for file in files)
    }


def _examined(study: Study, results: Path) -> set[str]:
    """Return where pinned models lie, or lay, of which all that is asked for is found."""
    read: dict[str, list[str]] = {}
    for name, model in models_of(study).items():
        censuses = [f"models/{name}/{matrix}/census.nc" for matrix in model.matrices]
        read.setdefault(f"weights/{model.source}", []).extend(censuses)
    return {
        weights
        for weights, files in read.items()
        if all(_is_present(file, results, sealed=True) for file in files)
    }


def _is_present(path: str, results: Path, sealed: bool) -> bool:
    """Return whether a file is there, with its seal if it has one."""
    file = results / path
    # os.path: what cannot be looked at is not there, and Snakemake says why.
    return os.path.exists(file) and (not sealed or os.path.exists(seal_path(file)))


def sizes(files: Iterable[File]) -> Iterator[tuple[str, int, int]]:
    """Yield each run, its number of segments, and the bytes of one segment."""
    segments = Counter((file.run, file.bytes) for file in files if file.updates)
    for (run, size), number in segments.items():
        yield run, number, size


def rows(parts: Mapping[str, Part]) -> Iterator[Row]:
    """Yield the table for scripts."""
    for experiment, part in parts.items():
        for present, files in ((True, part.present), (False, part.missing)):
            groups: dict[tuple[str, str], list[File]] = {}
            for file in files:
                groups.setdefault((file.run, file.stage), []).append(file)
            for (run, stage), group in groups.items():
                yield Row(experiment, run, stage, present, *_sums(group))


def _sums(files: Sequence[File]) -> tuple[int, int, int, float]:
    """Return updates, segments, bytes and seconds."""
    return (
        sum(file.updates for file in files),
        sum(file.updates > 0 for file in files),
        sum(file.bytes for file in files),
        round(sum(file.seconds for file in files), 1),
    )


def report(study: Study, parts: Mapping[str, Part], cores: int) -> Iterator[str]:
    """Yield the lines for people."""
    whole = parts[""]
    yield from _records(whole)
    yield f"all records: {size_in_words(file for file in whole.files if file.updates)}"
    yield from _recordings(study)
    yield from _models(study)
    yield ""
    yield from _aligned((*FIRST, *TIMES), (_experiment(*part) for part in parts.items()))
    yield ""
    yield from _aligned(("stage", "files", "bytes", "CPU time"), _stages(whole))
    slow = sum(
        training_seconds(whole.runs[file.run], study.tokens(file.run), SLOW_CORE)
        for file in whole.missing
        if file.updates
    )
    yield (
        "\nTimes are CPU time of what is still to be made, on one core of "
        f"{TYPICAL}, to a factor of about two. On a slow core ({SLOW_CORE / 1e9:.0f} billion "
        f"operations a second) the training takes {duration(slow)}. A GPU is not considered. With "
        f"{cores} cores all stages take at least {duration(whole.seconds(STAGES) / cores)}."
    )


def _records(part: Part) -> Iterator[str]:
    """Yield the size of each run's record; of many runs, how many have which."""
    records = list(sizes(part.files))
    if len(records) <= MOST_NAMED:
        named = ((run, *record) for run, *record in records)
    else:
        alike = Counter(tuple(record) for _, *record in records)
        named = ((f"{number} runs, each", *record) for record, number in alike.items())
    for name, segments, size in named:
        yield f"{name}: {segments} segments of {size / 1e6:,.0f} MB, {segments * size / 1e9:.2f} GB"


def _recordings(study: Study) -> Iterator[str]:
    """Yield what each recording of another training holds, and what of it is not read."""
    for name, one in study.recordings.items():
        held = f"{one.contents.updates:,} updates, {one.bytes / 1e6:,.0f} MB; it is read, not made"
        if one.is_elsewhere:
            held = f"{one.contents.updates:,} updates, which are not here"
        elif one.being_written:
            held += "; a recorder writes there now: what is finished of it counts"
        yield f"recorded.{name}: {one.path}, {held}"


def _models(study: Study) -> Iterator[str]:
    """Yield what is examined of each model, and how large the model is."""
    for name, model in models_of(study).items():
        examined = f"its {' and '.join(model.matrices)} examined"
        if model.is_elsewhere:
            examined = "which has what was made of it; the model is not here"
        elif model.bytes:
            examined = f"{in_words(model.bytes)}, {examined}"
        yield f"models.{name}: {model.origin}, {examined}"


def _experiment(name: str, part: Part) -> list[str]:
    segments = [file for file in part.files if file.updates]
    to_train = sum(file.updates for file in part.missing)
    return [
        name or "all, shared runs once",
        f"{len(part.runs)}",
        f"{len({spec.seed for spec in part.runs.values()})}",
        f"{sum(file.updates for file in segments):,}",
        f"{to_train:,}",
        f"{len(segments):,}",
        size_in_words(segments),
        *(duration(part.seconds(stages)) for stages in TIMES.values()),
    ]


def _stages(part: Part) -> Iterator[list[str]]:
    for stages in (*([stage] for stage in STAGES), STAGES):
        made = [file for file in part.files if file.stage in stages]
        name = stages[0] if len(stages) == 1 else "all stages"
        yield [name, f"{len(made):,}", size_in_words(made), duration(part.seconds(stages))]


def duration(seconds: float) -> str:
    """Return a time in words, to about a hundredth of it."""
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{hours:,.1f} h"


def _aligned(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, the first column to the left, the others to the right."""
    table = [heads, *lines]
    first, *others = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, *cells in table:
        aligned = (cell.rjust(width) for cell, width in zip(cells, others, strict=True))
        yield "  ".join([name.ljust(first), *aligned])


def write_csv(path: Path, parts: Mapping[str, Part]) -> None:
    """Write the table for scripts."""
    with complete_or_absent(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows(rows(parts))


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_configuration(parser)
    add_results(parser, "where the results are or will be: what is there is not made anew")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the numbers there too")
    parser.add_argument(
        "--cores",
        type=int,
        metavar="N",
        default=os.cpu_count() or 1,
        help="those that snakemake will be given (default: all of this machine)",
    )


def main(options: Namespace) -> None:
    """Run the command ``plan``."""
    study = Study(read_configuration(options.configuration))
    check_folder_of_results(options.results)
    check_figures(study)
    claims = claims_of(study).values()
    parts = parts_of(study, options.results, claims)
    for line in report(study, parts, options.cores):
        log.info(line)
    if options.csv is not None:
        write_csv(options.csv, parts)
    whole = parts[""]
    ensure_room(study, claims, whole.present, whole.missing, options.results, options.cores)
