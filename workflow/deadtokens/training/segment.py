"""Train and record one segment of a run, from the checkpoint before it."""

import logging
from pathlib import Path

import torch
import xarray as xr

from deadtokens.errors import UserError
from deadtokens.files import ensure_writable
from deadtokens.run import layout
from deadtokens.run.device import choose_device, keep_freed_memory, make_deterministic
from deadtokens.run.machine import (
    DEVICE,
    Machine,
    check_same_machine,
    describe_machine,
    describe_making,
)
from deadtokens.run.rounding import ATTRIBUTE, Rounding, ask_rounding
from deadtokens.run.spec import RunSpec, batch_seed
from deadtokens.run.tensors import contents, of_update, replayed
from deadtokens.seal import check_seal, seal, seal_path
from deadtokens.text.read import read_vocabulary
from deadtokens.training.batches import count_sampled
from deadtokens.training.checkpoint import check_end, load_checkpoint, save_checkpoint
from deadtokens.training.finished import is_finished, making_of
from deadtokens.training.products import describe_products, slow_because
from deadtokens.training.progress import Progress
from deadtokens.training.trainer import Trainer
from deadtokens.trajectory.writer import compression_threads, write_segment

log = logging.getLogger(__name__)

RECORDED_PACKAGES = ("torch", "numpy", "tokenizers", "safetensors", "h5netcdf", "h5py", "isal")


def train_segment(
    name: str,
    spec: RunSpec,
    segment: int,
    stream_file: Path,
    census_file: Path,
    previous: Path | None,
    trajectory: Path,
    checkpoint: Path,
    needed: int | None = None,
    elsewhere: bool = False,
    code: str = "",
) -> None:
    """Train the updates of one segment, record them, and leave a checkpoint behind it.

    Parameters
    ----------
    name : str
        The run's identity, for the record and the log.
    spec : RunSpec
    segment : int
        From 0; it covers ``spec.record.segment`` updates.
    stream_file, census_file : Path
        Tokens of the training corpus; what is known of each token.
    previous : Path or None
        Checkpoint of the segment before, None for segment 0.
    trajectory, checkpoint : Path
        The segment and its checkpoint, to be written; each gets its seal beside it.
    needed : int or None
        How large the segment will be, in bytes, if that is known.
    elsewhere : bool
        Go on on another machine than that of the checkpoint too, with bits of both.
    code : str
        Fingerprint of the training's code, which lets a segment stay that it has finished before;
        without it every segment is trained.

    Raises
    ------
    UserError
        If stream, census and checkpoint are not those of the run and of the segment before, or the
        machine is another one and must not be.
    """
    for path in (seal_path(trajectory), checkpoint, seal_path(checkpoint)):
        ensure_writable(path)  # now, not after the hours of a segment
    _ensure_continues(previous, segment)
    make_deterministic(spec.threads)
    keep_freed_memory()
    stream, about_stream, census = read_vocabulary(stream_file, census_file, spec.vocabulary)
    if len(stream) <= spec.context:
        raise UserError(
            f"context: {spec.context} needs more than the {len(stream)} tokens of {stream_file}"
        )
    device = choose_device(spec.device)
    machine, rounding = describe_machine(device), ask_rounding(device)
    origin = {
        "spec": spec.json_text(),
        "text": about_stream["stream_sha256"],
        "torch": torch.__version__,
    }
    attributes = describe_run(name, spec, origin, machine, rounding)
    inputs = [path for path in (stream_file, census_file, previous) if path is not None]
    making = making_of([name, segment, origin, attributes["packages"]], code, inputs)
    where = None if elsewhere else machine
    if code and is_finished(trajectory, checkpoint, making, where):
        log.info(f"train {name}: segment {segment} is finished; it stays as it is")
        return
    if reason := slow_because(device):
        log.info(f"train {name}: expect several times the usual time: {reason}")
    ensure_replayable(spec, rounding)
    trainer = Trainer(spec, stream, census.sizes["token"], device)
    _go_on(trainer, segment, origin, machine, previous, elsewhere)
    # Killed between any two of these lines, the last file has no seal: it is no result. Nor is a
    # checkpoint, from now on, that another training left: it would stand beside this record.
    seal_path(checkpoint).unlink(missing_ok=True)
    record_segment(name, trainer, segment, trajectory, census, attributes, needed)
    seal(trajectory)
    save_checkpoint(trainer, origin, checkpoint, machine, making)
    seal(checkpoint)


def _ensure_continues(previous: Path | None, segment: int) -> None:
    """Refuse to begin in the midst of a run, or to continue from nothing."""
    if (previous is None) != (segment == 0):
        needs = "begins a run: it has no --previous" if segment == 0 else "needs --previous"
        raise UserError(f"segment {segment} {needs} checkpoint of the segment before")
    if previous is not None:
        check_seal(previous)


def _go_on(
    trainer: Trainer,
    segment: int,
    origin: dict[str, str],
    machine: Machine,
    previous: Path | None,
    elsewhere: bool,
) -> None:
    """Set `trainer` to the state at which a segment begins; the first one's is its own."""
    if previous is not None:
        saved = load_checkpoint(trainer, origin, previous)
        check_end(saved, segment * trainer.spec.record.segment, previous)
        if not elsewhere:
            check_same_machine(saved.machine, machine, previous)


def record_segment(
    name: str,
    trainer: Trainer,
    segment: int,
    path: Path,
    census: xr.Dataset,
    attributes: dict[str, str | int],
    needed: int | None = None,
) -> None:
    """Train to the end of the segment, or to the update that diverges, and write its file.

    A segment after that update is empty, and says so.
    """
    spec = trainer.spec
    first, last = segment * spec.record.segment, (segment + 1) * spec.record.segment
    progress, census = Progress(name, first, last), census.copy()
    holds, threads = contents(spec), compression_threads(trainer.device)
    with write_segment(
        path, first, last, spec.width, holds, census, attributes, needed, threads
    ) as writer:
        if trainer.diverged_at is None:
            writer.state(trainer.state())
        while trainer.diverged_at is None and trainer.update < last:
            for outcome in trainer.advance_block(last):
                writer.update(vars(outcome))
                writer.state(trainer.state())
            if trainer.diverged_at is None:
                progress(trainer.update, outcome.loss)
            else:
                writer.drop_after(trainer.update - first)
        census["sampled"] = _sampled(trainer, first, census.sizes["token"])
        attributes["status"] = "complete" if trainer.diverged_at is None else "diverged"
        attributes |= {f"dtype_{part}": dtype for part, dtype in trainer.dtypes.items()}
        if trainer.diverged_at is not None:
            attributes["diverged_at"] = trainer.diverged_at
            log.info(
                f"train {name}: the loss of update {trainer.diverged_at:,} is not finite; the "
                "record ends before it"
            )


def _sampled(trainer: Trainer, first: int, tokens: int) -> tuple:
    """Return how often each token stood in the batches of the updates after `first`, labelled."""
    spec, updates = trainer.spec, range(first + 1, trainer.update + 1)
    counts = count_sampled(
        trainer.stream, spec.batch, spec.context, batch_seed(spec), updates, tokens
    )
    return layout.PER_SEGMENT["sampled"].labelled(counts)


def ensure_replayable(spec: RunSpec, rounding: Rounding) -> None:
    """Refuse to leave to a replay what none could give back."""
    missing, operations = replayed(spec), rounding.unknown()
    if missing and operations:
        raise UserError(
            f"record.tensors: {', '.join(missing)} could not be replayed: this device rounds "
            f"{', '.join(operations)} in no way that is known; record {', '.join(of_update(spec))}"
        )


def describe_run(
    name: str, spec: RunSpec, origin: dict[str, str], machine: Machine, rounding: Rounding
) -> dict[str, str | int]:
    """Return the attributes that make a segment's origin known."""
    return {
        "title": "Trajectory of an embedding matrix and its optimizer, one segment",
        "run": name,
        "spec": spec.json_text(),
        "stream_sha256": origin["text"],
        ATTRIBUTE: rounding.as_attribute(),
        "products": describe_products(torch.device(machine[DEVICE].split()[0])),
        **describe_making(machine, RECORDED_PACKAGES),
    }
