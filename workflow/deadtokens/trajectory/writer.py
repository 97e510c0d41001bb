"""Writing one segment of a trajectory: recorded steps in, a complete NetCDF-4 file out."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product, repeat
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import torch
import xarray as xr
from torch import Tensor

from deadtokens.files import complete_or_absent
from deadtokens.hdf5 import SteadyFile, steady_file
from deadtokens.run import layout
from deadtokens.run.bits import bits_of, format_of, unsigned
from deadtokens.trajectory.chunks import DEFLATE_LEVEL, encode_chunk
from deadtokens.trajectory.proof import Proof
from deadtokens.trajectory.staging import HostStaging, stage

FEWEST_THREADS = 2


@contextmanager
def write_segment(
    path: Path,
    first: int,
    last: int,
    width: int,
    contents: layout.Contents,
    census: xr.Dataset,
    attributes: Mapping[str, Any],
    needed: int | None = None,
    threads: int = FEWEST_THREADS,
) -> Iterator["SegmentWriter"]:
    """Yield the writer of the segment of updates (first, last]; `path` appears when it is complete.

    Parameters
    ----------
    path : Path
    first, last : int
        State at which the segment starts, and its last update if each one is recorded; if not, it
        holds as many at most.
    width : int
        Components of an embedding.
    contents : layout.Contents
    census : Dataset
        Variables along `token`, stored so that the file explains itself; the caller may add to
        them until the block ends.
    attributes : mapping of str to (str, int or float)
        Global attributes; the caller may add to them until the block ends.
    needed : int or None
        How large the file will be, in bytes, if that is known.
    threads : int
        How many compress, see `compression_threads`.

    Raises
    ------
    UserError
        If the disk is full: as soon as the caller hands over another step, or at the end.
    """
    sizes = {
        "token": census.sizes["token"],
        "component": width,
        "state": last - first + 1,
        "update": last - first,
    }
    if contents.replayed:
        sizes["row_group"] = -(-sizes["token"] // layout.rows_per_group(sizes))
    with complete_or_absent(path, needed) as temporary, steady_file(temporary) as disk:
        _declare(disk, sizes, contents)
        with h5py.File(disk, "r+") as file, ThreadPoolExecutor(threads) as pool:
            proofs = {
                name: Proof(sizes["state"], layout.rows_per_group(sizes))
                for name in contents.replayed
            }
            writer = SegmentWriter(file, pool, first, contents, proofs, disk.check)
            yield writer
            writer.finish()
        _complete(disk, writer, attributes)
        census.to_netcdf(disk, mode="a", engine="h5netcdf")


def compression_threads(device: torch.device) -> int:
    """Return how many threads compress what is trained on a device.

    A training on a CPU needs the cores itself. One on another device is faster than two threads,
    and leaves them all cores that the process may use but the one which launches its kernels.
    """
    if device.type == "cpu":
        return FEWEST_THREADS
    known = hasattr(os, "sched_getaffinity")
    usable = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(FEWEST_THREADS, usable - 1)


class SegmentWriter:
    """Takes a segment's states and updates, one after the other.

    Steps are collected into blocks, one chunk long along the step axis. A full block is transposed,
    shuffled and deflated by threads, while the next one fills. There are two blocks a tensor and no
    more: a caller that is faster than the compression waits.
    """

    def __init__(
        self,
        file: h5py.File,
        pool: ThreadPoolExecutor,
        first: int,
        contents: layout.Contents,
        proofs: Mapping[str, Proof],
        check: Callable[[], None],
    ):
        self.file, self.proofs, self.check = file, proofs, check
        self.recorded = {"state": 0, "update": 0}
        self.states = [first]  # their numbers: the first, and those of the updates
        self.per_update = {name: _Values(file[name]) for name in contents.per_update}
        self.blocks = {name: _Blocks(file[name], pool) for name in contents.tensors}

    def state(self, tensors: Mapping[str, Tensor]) -> None:
        """Record the next state: W and what is carried beside it, each (token, component).

        Where no update is recorded between two states, they are one update apart.
        """
        if self.recorded["state"] == len(self.states):
            self.states.append(self.states[-1] + 1)
        self._put("state", tensors)

    def update(self, given: Mapping[str, Tensor | float], number: int | None = None) -> None:
        """Record the next update: its gradients, and what is known of it as a whole.

        Its number is that of the update before it and 1, if it is not given.
        """
        self.states.append(self.states[-1] + 1 if number is None else number)
        for name, values in self.per_update.items():
            values.put(self.recorded["update"], given[name])
        self._put("update", given)

    def last_state(self) -> dict[str, Tensor]:
        """Return the tensors of the last state that were recorded, until two chunks later."""
        return {
            name: blocks.last()
            for name, blocks in self.blocks.items()
            if name in layout.STATE_TENSORS
        }

    def drop_unfinished(self) -> None:
        """Forget an update behind which no state was recorded; another one may take its place."""
        self.drop_after(max(0, self.recorded["state"] - 1))

    def drop_after(self, updates: int) -> None:
        """Forget all that came behind so many updates.

        What of it is compressed already lies behind the ends of the axes, where HDF5 cuts it off,
        until something else is recorded there.
        """
        ends = {"state": updates + 1, "update": updates}
        self.recorded = {axis: min(ends[axis], count) for axis, count in self.recorded.items()}
        del self.states[1 + self.recorded["update"] :]

    def go_on_with(self, before: "SegmentWriter") -> None:
        """Take the memory of a segment of the same shape that is being finished, before its first.

        New memory costs more when it is first written to than all the copying into it.
        """
        for name, blocks in self.blocks.items():
            if name in before.blocks:
                blocks.go_on_with(before.blocks[name])

    def hand_over(self) -> None:
        """Begin to compress what is left: the caller may finish in another thread."""
        for values in self.per_update.values():
            values.fetch()
        for blocks in self.blocks.values():
            blocks.hand_over()

    def finish(self) -> None:
        """Wait until every block is in the file."""
        self.hand_over()
        for blocks in self.blocks.values():
            blocks.finish()
        for values in self.per_update.values():
            values.store(self.recorded["update"])
        if states := self.recorded["state"]:
            for name, proof in self.proofs.items():
                _store_all(self.file[f"first_{name}"], unsigned(bits_of(proof.first)))
                self.file[f"checksum_{name}"][:, :states] = proof.taken(states)

    def _put(self, axis: str, tensors: Mapping[str, Tensor]) -> None:
        self.check()
        for name, taker in (self.blocks | self.proofs).items():
            if layout.VARIABLES[name].dims[-1] == axis:
                taker.put(self.recorded[axis], tensors[name])
        self.recorded[axis] += 1


def _declare(disk: SteadyFile, sizes: Mapping[str, int], contents: layout.Contents) -> None:
    """Create the file with every axis and variable; the tensors' chunks come later, filtered."""
    with h5netcdf.File(disk, "w") as file:
        fixed = {axis: sizes[axis] for axis in sizes if axis not in ("state", "update")}
        file.dimensions = fixed | {"state": None, "update": None}
        file.resize_dimension("state", sizes["state"])
        file.resize_dimension("update", sizes["update"])
        first = [f"first_{name}" for name in contents.replayed]
        for name in (*contents.tensors, *contents.per_update, *first):
            filters = {"compression": "gzip", "compression_opts": DEFLATE_LEVEL, "shuffle": True}
            _declare_variable(file, name, sizes, **filters)
        for name in contents.replayed:
            _declare_variable(file, f"checksum_{name}", sizes)  # no filter shrinks these


def _declare_variable(
    file: h5netcdf.File, name: str, sizes: Mapping[str, int], **filters: Any
) -> None:
    variable = (layout.VARIABLES | layout.FOR_REPLAY)[name]
    chunks = layout.chunk_shape(variable.dims, sizes)
    created = file.create_variable(name, variable.dims, variable.kind, chunks=chunks, **filters)
    created.attrs.update(variable.attributes)


def _complete(disk: SteadyFile, writer: SegmentWriter, attributes: Mapping[str, Any]) -> None:
    """Cut the step axes to what was recorded; add scalars, axes and attributes."""
    with h5netcdf.File(disk, "r+") as file:
        for axis, length in writer.recorded.items():
            file.resize_dimension(axis, length)
        for name, blocks in writer.blocks.items():
            steps = writer.recorded[layout.VARIABLES[name].dims[-1]]
            file[name].attrs["recorded_dtype"] = blocks.recorded_dtype if steps else ""
        for name, proof in writer.proofs.items():
            file[f"first_{name}"].attrs["recorded_dtype"] = proof.recorded_dtype
        _write_axis(file, "state", writer.states[: writer.recorded["state"]])
        _write_axis(file, "update", writer.states[1 : 1 + writer.recorded["update"]])
        _write_axis(file, "component", range(file.dimensions["component"].size))
        for proof in list(writer.proofs.values())[:1]:
            groups = file.dimensions["row_group"].size
            _write_axis(file, "row_group", range(0, groups * proof.rows, proof.rows))
        for name, value in attributes.items():
            file.attrs[name] = value


def _write_axis(file: h5netcdf.File, axis: str, numbers: Sequence[int]) -> None:
    variable = file.create_variable(axis, (axis,), "<i8")
    variable.attrs.update(layout.AXES[axis].attributes)
    variable[...] = np.array(numbers, np.int64)


class _Values:
    """What is known of each update as a whole, kept until the segment's end where it is computed.

    So no update of a GPU waits until it has reached the host. It is one array from the start: many
    small tensors kept would fragment the heap.
    """

    def __init__(self, dataset: h5py.Dataset):
        self.dataset = dataset
        self.kept: Tensor | None = None

    def put(self, update: int, value: Tensor | float) -> None:
        """Keep the value of an update, counted from 0."""
        if self.kept is None:
            dtype = {4: torch.float32, 8: torch.float64}[self.dataset.dtype.itemsize]
            device = value.device if isinstance(value, Tensor) else "cpu"
            self.kept = torch.empty(self.dataset.shape, dtype=dtype, device=device)
        self.kept[..., update] = value.detach() if isinstance(value, Tensor) else float(value)

    def fetch(self) -> None:
        """Bring what is kept to the host."""
        if self.kept is not None:
            self.kept = self.kept.cpu()

    def store(self, updates: int) -> None:
        """Write the values of so many first updates to the file; they are on the host."""
        if self.kept is not None:
            _store_all(self.dataset, _patterns(self.kept[..., :updates].numpy()))


class _Blocks:
    """The steps of one tensor on their way to its chunks, two blocks at a time."""

    def __init__(self, dataset: h5py.Dataset, pool: ThreadPoolExecutor):
        self.dataset, self.pool = dataset, pool
        self.steps = dataset.chunks[-1]
        self.staging: HostStaging | None = None
        self.dtype: torch.dtype | None = None
        self.pending: list[list[Future]] = [[], []]
        self.count, self.handed_over = 0, False

    @property
    def recorded_dtype(self) -> str:
        """The format of the recorded tensor, '' if nothing was recorded."""
        return format_of(self.dtype) if self.dtype else ""

    def put(self, step: int, tensor: Tensor) -> None:
        """Add the next step's tensor; wait for the compression if both blocks are full."""
        if self.staging is None or not self.staging.holds(self.steps, tensor):
            self.staging = stage(self.steps, tensor)
        self.dtype = self.dtype or tensor.dtype
        if tensor.dtype != self.dtype:
            raise TypeError(f"{self.dataset.name}: {tensor.dtype} after {self.dtype}")
        index, offset = divmod(step, self.steps)
        if offset == 0 or step < self.count:  # one that was forgotten may be compressed already
            _wait(self.pending[index % 2])
        self.staging.put(index % 2, offset, tensor)
        self.count = step + 1
        if offset == self.steps - 1:
            self._compress(index)

    def last(self) -> Tensor:
        """Return the last step's tensor, in place."""
        index, offset = divmod(self.count - 1, self.steps)
        return self.staging.get(index % 2, offset)

    def go_on_with(self, before: "_Blocks") -> None:
        """Use another's blocks, each when it is in its file."""
        self.staging, self.pending = before.staging, [list(one) for one in before.pending]

    def hand_over(self) -> None:
        """Begin to compress what is left."""
        index, offset = divmod(self.count, self.steps)
        if offset and not self.handed_over:
            self.staging.clear_from(index % 2, offset)
            self._compress(index)
        self.handed_over = True

    def finish(self) -> None:
        """Compress what is left, and wait until everything is in the file."""
        self.hand_over()
        for futures in self.pending:
            _wait(futures)

    def _compress(self, index: int) -> None:
        block, arrive = self.staging.take(index % 2)
        rows = range(0, len(block), self.dataset.chunks[0])
        self.pending[index % 2] = [
            _submit(self.pool, self._store, index, block, row, arrive) for row in rows
        ]

    def _store(self, index: int, block: np.ndarray, row: int, arrive: Callable[[], None]) -> None:
        """Store the rows of a block that make a chunk; `block` is (tokens, components, steps)."""
        arrive()
        rows = block[row : row + self.dataset.chunks[0]]
        _store_chunk(self.dataset, (row, 0, index * self.steps), rows)


def _submit(pool: ThreadPoolExecutor, task: Callable[..., None], *arguments: Any) -> Future:
    """Begin a task; where the interpreter is about to end, which begins no more, do it now."""
    try:
        return pool.submit(task, *arguments)
    except RuntimeError:
        done = Future()
        done.set_result(task(*arguments))
        return done


def _wait(futures: list[Future]) -> None:
    for future in futures:
        future.result()
    futures.clear()


def _patterns(values: np.ndarray) -> np.ndarray:
    """Return the bit patterns of floating-point numbers, in place."""
    return values.view(f"u{values.itemsize}")


def _store_all(dataset: h5py.Dataset, bits: np.ndarray) -> None:
    """Store a whole variable, chunk by chunk."""
    shape = dataset.chunks
    for at in product(*map(range, repeat(0), bits.shape, shape)):
        part = tuple(slice(start, start + length) for start, length in zip(at, shape, strict=True))
        _store_chunk(dataset, at, bits[part])


def _store_chunk(dataset: h5py.Dataset, at: tuple[int, ...], bits: np.ndarray) -> None:
    """Filter and store the chunk that starts at `at`; behind a variable's end it is zeros."""
    if bits.shape != dataset.chunks:
        part, bits = bits, np.zeros(dataset.chunks, bits.dtype)
        bits[tuple(map(slice, part.shape))] = part
    dataset.id.write_direct_chunk(at, encode_chunk(bits))
