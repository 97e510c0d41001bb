"""Ways to train the same updates: not recorded, by our recorder, one step at a time."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import torch
import xarray as xr
from study import Run, with_settings

from deadtokens.costs.storage import StepwiseFile
from deadtokens.run import layout
from deadtokens.run.device import choose_device, keep_freed_memory, make_deterministic
from deadtokens.run.hyperparameters import learning_rate
from deadtokens.seal import seal
from deadtokens.training.segment import record_segment
from deadtokens.training.trainer import Trainer

# What a training job has imported before its first update; the last two by torch and xarray.
PRELOADED = [
    "deadtokens.training.train",
    "deadtokens.study.study",
    "torch._inductor.config",
    "dask.array",
]


def advance_barely(trainer: Trainer) -> None:
    """Apply the trainer's next update and compute nothing besides; for runs without clipping.

    The mean probabilities, which only the record needs, come with the loss: a sum in the cache.
    """
    trainer.update += 1
    batch = trainer.batches(range(trainer.update, trainer.update + 1))[0]
    loss = trainer.forward(batch).prediction.loss
    trainer.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for group in trainer.optimizer.param_groups:
        group["lr"] = learning_rate(trainer.spec, trainer.update)
    trainer.optimizer.step()


def train_barely(trainer: Trainer, last: int, path: Path, census: xr.Dataset) -> None:
    """Train to update `last` as one would without any recording."""
    while trainer.update < last:
        advance_barely(trainer)


def advance_to(trainer: Trainer, last: int) -> None:
    """Train to update `last` by the trainer, in its blocks."""
    while trainer.update < last:
        for _ in trainer.advance_block(last):
            pass


def train_unrecorded(trainer: Trainer, last: int, path: Path, census: xr.Dataset) -> None:
    """Train by the trainer, which computes what is recorded besides the tensors."""
    advance_to(trainer, last)


def train_recorded(trainer: Trainer, last: int, path: Path, census: xr.Dataset) -> None:
    """Train and record the segment that ends with update `last`, until it is sealed."""
    segment = last // trainer.spec.record.segment - 1
    record_segment("benchmark", trainer, segment, path, census, {"run": "benchmark"})
    seal(path)


def train_stepwise(trainer: Trainer, last: int, path: Path, census: xr.Dataset) -> None:
    """Train and write the same tensors one step at a time."""
    first, updates = trainer.update, last - trainer.update
    with h5py.File(path, "w") as file:
        baseline = StepwiseFile(file)
        _put_state(baseline, trainer, 0, updates)
        for index in range(updates):
            advance_barely(trainer)
            baseline.put("grad", index, updates, trainer.model.W.grad)
            _put_state(baseline, trainer, trainer.update - first, updates)


def _put_state(baseline: StepwiseFile, trainer: Trainer, index: int, updates: int) -> None:
    for name, tensor in trainer.state().items():
        baseline.put(name, index, updates + 1, tensor)


ARMS = {
    "bare": train_barely,
    "unrecorded": train_unrecorded,
    "recorded": train_recorded,
    "stepwise": train_stepwise,
}


def build_trainer(run: Run, segment: int, threads: int) -> Trainer:
    """Return a trainer at state 0 with segments of so many updates, as a training job has it."""
    make_deterministic(threads)
    keep_freed_memory()
    spec = with_settings(run.spec, segment, threads=threads)
    return Trainer(spec, run.stream, run.census.sizes["token"], choose_device(spec.device))


def fresh_process(target: Callable, *arguments: object) -> tuple[Connection, Callable[[], None]]:
    """Start ``target(connection, *arguments)`` in a process that has computed nothing yet.

    Returns
    -------
    connection : Connection
        To the process.
    join : callable
        Waits until it ends.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return ours, process.join


def work(connection: Connection, run: Run, threads: int) -> None:
    """Train in any arm, to any update, as come through the connection; None ends it.

    They are answered by 'ready', and what comes then by the bytes of the files written.
    """
    for arm, updates in iter(connection.recv, None):
        segment = min(updates, run.spec.record.segment)
        trainer = build_trainer(run, segment, threads)
        with TemporaryDirectory() as folder:
            connection.send("ready")
            connection.recv()
            for index, last in enumerate(range(segment, updates + 1, segment)):
                ARMS[arm](trainer, last, Path(folder, layout.segment_name(index)), run.census)
            if trainer.device.type == "cuda":
                torch.cuda.synchronize()
            connection.send(sum(path.stat().st_size for path in Path(folder).glob("*.nc")))


class Crew:
    """Processes that train the same at the same time."""

    def __init__(self, connections: Sequence[Connection]):
        self.connections = connections
        self.bytes: dict[str, int] = {}

    def time(self, arm: str, updates: int) -> float:
        """Return the wall time, in seconds, until the last process has trained."""
        self._tell((arm, updates))
        self._hear()
        begin = time.perf_counter()
        self._tell("go")
        answers = self._hear()
        wall = time.perf_counter() - begin
        self.bytes[arm] = answers[0]
        return wall

    def _tell(self, message: object) -> None:
        for connection in self.connections:
            connection.send(message)

    def _hear(self) -> list:
        return [connection.recv() for connection in self.connections]


@contextmanager
def hire(run: Run, processes: int, threads: int) -> Iterator[Crew]:
    """Yield a crew of so many processes, each with so many threads."""
    with ExitStack() as stack:
        connections = []
        for _ in range(processes):
            connection, join = fresh_process(work, run, threads)
            stack.callback(join)
            stack.callback(connection.send, None)
            connections.append(connection)
        yield Crew(connections)
