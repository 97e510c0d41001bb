"""What the tests run in child processes, which are killed or find the disk full.

The children are forked from a server that has imported everything: a start costs milliseconds.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import h5py

from deadtokens import cli
from deadtokens.freezing import measure
from deadtokens.training import train
from deadtokens.training.spec import RunSpec
from deadtokens.training.train import train_segment
from deadtokens.trajectory import layout

COMMANDS = {"train": train.main, "freezing": measure.main}
FILES_A_SEGMENT = 4  # segment, its seal, checkpoint, its seal: in this order


def start(function, *arguments) -> BaseProcess:
    """Call a function of this module in a child."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["warm"])
    child = context.Process(target=function, args=arguments)
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


def run_command(command: str, arguments: Sequence[str], said: Path) -> None:
    """Run a command as its own process would, what it says into a file."""
    with said.open("w") as file:
        os.dup2(file.fileno(), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    sys.argv = [command, *arguments]
    status = 0
    try:
        cli.run(COMMANDS[command])
    except SystemExit as end:
        status = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    ctypes.CDLL(None).exit(status)  # unlike os._exit, lets HDF5 close what it thinks is open


def assert_same_variables(path: Path, expected: Path) -> None:
    """Compare two segments in every variable, bit for bit."""
    with h5py.File(path) as one, h5py.File(expected) as other:
        assert set(one) == set(other)
        assert {"W", "grad", "loss", "token_string", "state"} <= set(one)
        for name in one:
            assert one[name].shape == other[name].shape
            assert content(one[name]) == content(other[name]), name


def content(dataset: h5py.Dataset) -> bytes | list[bytes]:
    values = dataset[...]
    return values.tolist() if values.dtype.kind == "O" else values.tobytes()
