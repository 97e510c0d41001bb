"""Target 4: how much memory recording takes beyond training, and that it does not grow."""

from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr
from arms import ARMS, build_trainer, fresh_process
from study import Row, Run, alternate, block_bytes, with_settings

from deadtokens.errors import UserError
from deadtokens.run import layout

CRUCIBLE_TOKENS, CRUCIBLE_WIDTH = 10_000, 64
STATUS = Path("/proc/self/status")


def peak_of(connection: Connection, run: Run, updates: int, arm: str) -> None:
    """Send this process's largest resident size, in bytes, after it has trained a segment."""
    trainer = build_trainer(run, updates, threads=1)
    with TemporaryDirectory() as folder:
        ARMS[arm](trainer, updates, Path(folder, layout.segment_name(0)), run.census)
    connection.send(largest_resident())


def largest_resident() -> int:
    """Return the largest resident size that this process had, in bytes."""
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(fields["VmHWM"].removesuffix("kB"))


def ensure_measurable() -> None:
    """Refuse a system that does not tell the largest resident size."""
    if not STATUS.is_file():
        raise UserError("memory is measured on Linux alone: /proc/self/status is missing")


def peak(run: Run, updates: int, arm: str) -> float:
    """Return the peak memory of a training in a process of its own, in bytes."""
    connection, join = fresh_process(peak_of, run, updates, arm)
    answer = connection.recv()
    join()
    return answer


def crucible(run: Run) -> Run:
    """Return a run of the Crucible's matrix; its batches are small, which the recorder sees not."""
    tokens = CRUCIBLE_TOKENS
    stream = np.random.default_rng(0).integers(0, tokens, 10_000).astype(np.int32)
    census = xr.Dataset(
        {"dead": ("token", np.arange(tokens) % 3 == 0)}, coords={"token": np.arange(tokens)}
    )
    spec = with_settings(run.spec, 1, width=CRUCIBLE_WIDTH, heads=2, batch=2, context=16)
    return Run("crucible", spec, stream, census)


def memory_rows(run: Run, lengths: Sequence[int], repeats: int) -> list[Row]:
    """Return the recorder's peak memory in raw blocks, at two lengths of a segment."""
    ensure_measurable()
    rows = []
    for size, one in (("default", run), ("Crucible", crucible(run))):
        for updates in lengths:
            rows += _rows_at(size, one, updates, repeats)
    return rows


def _rows_at(size: str, run: Run, updates: int, repeats: int) -> list[Row]:
    arms = {arm: lambda arm=arm: peak(run, updates, arm) for arm in ("unrecorded", "recorded")}
    peaks = alternate(arms, repeats)
    block = block_bytes(run.spec, run.census.sizes["token"], updates)
    beyond = [
        one - other for one, other in zip(peaks["recorded"], peaks["unrecorded"], strict=True)
    ]
    return [
        Row(f"{size}, {updates} updates: a raw block", [block / 1e6], "MB"),
        Row("  training alone, peak", [one / 1e6 for one in peaks["unrecorded"]], "MB"),
        Row("  recorder beyond it, peak", [one / 1e6 for one in beyond], "MB"),
        Row("  recorder in raw blocks", [one / block for one in beyond], at_most=2.5),
    ]
