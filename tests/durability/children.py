"""What the tests run in child processes, which are killed or find the disk full.

The children are forked from a server that has imported everything: a start costs milliseconds.
"""

import ctypes
import multiprocessing
import os
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import torch

from deadtokens import cli
from deadtokens.audit.audit import audit_run
from deadtokens.files import complete_or_absent
from deadtokens.run import layout
from deadtokens.run.device import choose_device
from deadtokens.run.spec import RunSpec
from deadtokens.seal import seal
from deadtokens.training import train
from deadtokens.training.segment import train_segment
from deadtokens.trajectory.segments import list_segments

SEGMENTS = 3  # of the run that tests disturb
FILES_A_SEGMENT = 4  # segment, its seal, checkpoint, its seal: in this order


def start(function, *arguments) -> BaseProcess:
    """Call a function of this module in a child."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["warm"])
    child = context.Process(target=function, args=arguments, daemon=True)
    child.start()
    return child


def outputs(folder: Path, segment: int) -> list[Path]:
    """Return the files of a segment in the order in which they are finished."""
    trajectory = folder / "trajectory" / layout.segment_name(segment)
    checkpoint = folder / "checkpoints" / f"checkpoint-{segment:03d}.safetensors"
    seals = [path.with_name(f"{path.name}.seal.json") for path in (trajectory, checkpoint)]
    return [trajectory, seals[0], checkpoint, seals[1]]


def is_done(folder: Path, segment: int) -> Path:
    return folder / f"done-{segment}"


def train_run(spec: RunSpec, vocabulary: Path, folder: Path, segments: int) -> None:
    """Train what is missing as Snakemake does: an unfinished job's outputs are deleted first."""
    for segment in range(segments):
        if not is_done(folder, segment).exists():
            for path in outputs(folder, segment):
                path.unlink(missing_ok=True)
            train_one(spec, vocabulary, folder, segment)
            is_done(folder, segment).touch()


def train_one(spec: RunSpec, vocabulary: Path, folder: Path, segment: int) -> None:
    trajectory, _, checkpoint, _ = outputs(folder, segment)
    previous = outputs(folder, segment - 1)[2] if segment else None
    census, stream = vocabulary / "census.nc", vocabulary / "stream.nc"
    train_segment("run", spec, segment, stream, census, previous, trajectory, checkpoint)


def train_until(file: int, named: bool, *arguments) -> None:
    """Train a segment; die before or after its `file`-th file gets its name."""
    replace, count = os.replace, iter(range(FILES_A_SEGMENT))

    def replace_or_die(source, target):
        last = next(count) == file
        if named or not last:
            replace(source, target)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace_or_die
    train_one(*arguments)


def write_and_seal(path: Path, letter: int, rounds: int) -> None:
    """Write files of one letter, of many lengths, one over the other."""
    choice = random.Random(letter)
    for _ in range(rounds):
        with complete_or_absent(path) as temporary:
            temporary.write_bytes(bytes([letter]) * choice.randrange(200_000))
        seal(path)


def write_until_killed(path: Path, begun: Path) -> None:
    with complete_or_absent(path) as temporary:
        temporary.write_text("half")
        begun.touch()
        signal.pause()


def claim_gpu(user: int, folder: Path, gpus: int, answer: Connection) -> None:
    """Send which of a machine's GPUs a user gets, and keep it until killed."""
    os.umask(0o077)
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    tempfile.tempdir = str(folder)
    torch.cuda.device_count = lambda: gpus
    torch.cuda.get_device_properties = lambda index: SimpleNamespace(uuid=f"gpu-{index}")
    torch.cuda.is_available = lambda: True
    answer.send(choose_device("cuda").index)
    signal.pause()


def run_command(command: str, arguments: Sequence[str], said: Path) -> None:
    """Run a command as its own process would, what it says into a file."""
    with said.open("w") as file:
        os.dup2(file.fileno(), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    sys.argv = ["deadtokens", command, *arguments]
    train.ensure_room = lambda *_: None  # the disk is to be full later than that
    status = 0
    try:
        cli.deadtokens()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
        if status != end.code:
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    ctypes.CDLL(None).exit(status)  # unlike os._exit, lets HDF5 close what it thinks is open


def assert_same_variables(path: Path, expected: Path) -> None:
    """Compare two segments in every variable, bit for bit, and tell what differs."""
    with h5py.File(path) as one, h5py.File(expected) as other:
        made = origins(one, other)
        assert set(one) == set(other)
        assert {"W", "grad", "loss", "token_string", "state"} <= set(one)
        differences = [
            difference(one[name], other[name])
            for name in one
            if content(one[name]) != content(other[name])
        ]
    assert not differences, "\n".join([*differences, replay(path), replay(expected), made])


def content(dataset: h5py.Dataset) -> tuple[tuple[int, ...], bytes | list[bytes]]:
    values = dataset[...]
    return values.shape, values.tolist() if values.dtype.kind == "O" else values.tobytes()


def difference(one: h5py.Dataset, other: h5py.Dataset) -> str:
    """Return how many values of a variable differ, and from which step on."""
    if one.shape != other.shape or one.dtype.kind == "O":
        return f"{one.name}: {one.shape} values against {other.shape}, not the same"
    values, others = one[...], other[...]
    bits = np.dtype(f"u{values.itemsize}")
    differ = np.atleast_1d(values.view(bits) != others.view(bits))
    steps = np.flatnonzero(differ.reshape(-1, differ.shape[-1]).any(axis=0))
    gap = np.abs(values.astype(float) - others).max()
    return (
        f"{one.name}: {differ.sum()} of {differ.size} values differ, by {gap:.3g} at most, in "
        f"steps {steps[0]} to {steps[-1]} of {differ.shape[-1]}"
    )


def replay(path: Path) -> str:
    """Return whether the run up to a segment follows from its own gradients."""
    segments = [other for other in list_segments(path.parent) if other.name <= path.name]
    tensors = audit_run(segments)["tensors"]
    differing = {name: tally["differing"] for name, tally in tensors.items() if tally["differing"]}
    return f"{path}: values that do not follow from its gradients: {differing or 'none'}"


def origins(one: h5py.File, other: h5py.File) -> str:
    """Return in which attributes two segments differ: their code, their machine."""
    names = sorted({*one.attrs, *other.attrs})
    pairs = {name: (one.attrs.get(name), other.attrs.get(name)) for name in names}
    return f"made otherwise: { {name: pair for name, pair in pairs.items() if pair[0] != pair[1]} }"
