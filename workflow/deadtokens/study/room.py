"""How much of a study is on the disk at the same time, and whether there is room for it."""

import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.files import folder_of
from deadtokens.study.figures import Scope
from deadtokens.study.inventory import File
from deadtokens.study.study import Study
from deadtokens.study.wanted import derived_files, read_from_records, wanted_sources

log = logging.getLogger(__name__)


def bytes_at_once(study: Study, missing: Iterable[File], cores: int) -> int:
    """Return how many more bytes there will be at the peak than now.

    A file that is being written lies under a temporary name and gets its own when it is whole.
    Where no record is removed, the peak is the end. Where records are released, no more of them are
    there at once than jobs, as workflow/rules gives what reads a record, and a run that has begun,
    the priority; but what is measured alone on the machine waits until all else is done, and its
    record with it.
    """
    released = read_from_records(study) if study.releases else {}
    waiting = _measured_alone(study)
    kept, passing = 0, Counter()
    for file in missing:
        if file.stage == "training" and file.run in released and file.run not in waiting:
            passing[file.run] += file.bytes
        else:
            kept += file.bytes
    return kept + sum(size for _, size in passing.most_common(cores))


def _measured_alone(study: Study) -> set[str]:
    """Return the runs of which something is measured while no other job runs."""
    return {
        member.run
        for experiment in study.experiments
        for source, most in wanted_sources(study, experiment)
        if source.scope is Scope.FIRST_BENCHMARK
        for member in derived_files(study, source, experiment, most).values()
    }


def ensure_room(
    study: Study, present: Sequence[File], missing: Sequence[File], results: Path, cores: int
) -> None:
    """Log what is on the disk at the same time, and refuse what it has no room for.

    Raises
    ------
    UserError
        If more is needed than is free.
    """
    needed = bytes_at_once(study, missing, cores)
    free = shutil.disk_usage(folder_of(results / "runs")).free
    there = sum(file.bytes for file in present)
    when = f"of {cores} jobs at once" if study.releases else "which is the end"
    log.info(
        f"On disk at the peak, {when}: {in_words(there + needed)}; of these {in_words(needed)} are "
        f"still to be written, and {free / 1e9:,.2f} GB are free."
    )
    if needed > free:
        other = "" if study.releases else "let records go when they are read (keep: derived), "
        raise UserError(
            f"{results}: what is missing needs about {needed:,} bytes, and {free:,} are free on "
            f"its disk; plan fewer runs, {other}record the gradients alone (record.tensors: "
            "[grad]), or take another disk (snakemake --directory)"
        )


def size_in_words(files: Iterable[File]) -> str:
    """Return how large files are together."""
    return in_words(sum(file.bytes for file in files))


def in_words(size: int) -> str:
    """Return a number of bytes in words."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
