"""Reading part of a recorded tensor, its chunks inflated outside HDF5's lock."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import h5py
import numpy as np

from deadtokens.trajectory.chunks import decode_chunk, place

Rows = range | np.ndarray  # of the vocabulary: consecutive ones, or chosen ones, ascending


def inflate(
    dataset: h5py.Dataset, tokens: Rows, steps: range, out: np.ndarray, pool: ThreadPoolExecutor
) -> list[Future]:
    """Begin to read part of a tensor into `out`; it is there when the returned futures are done.

    Parameters
    ----------
    dataset : h5py.Dataset of shape (tokens, components, steps)
    tokens : Rows
    steps : range, step 1
    out : ndarray of shape (tokens, components, steps)
        float32, or unsigned integers of the recorded format's width for the bare bits.
    pool : ThreadPoolExecutor
    """
    return [pool.submit(chunk) for chunk in _chunks(dataset, tokens, steps, out)]


def inflate_now(dataset: h5py.Dataset, tokens: Rows, steps: range, out: np.ndarray) -> None:
    """Read part of a tensor into `out`, as `inflate` does, in this thread."""
    for chunk in _chunks(dataset, tokens, steps, out):
        chunk()


def _chunks(
    dataset: h5py.Dataset, tokens: Rows, steps: range, out: np.ndarray
) -> Iterator[partial]:
    """Yield for each chunk what inflates it, its bytes read already."""
    rows, _, length = shape = dataset.chunks
    format = dataset.attrs["recorded_dtype"]  # once: looking it up costs as much as a chunk
    for step in _starts(steps, length):
        for row in _starts(tokens, rows):
            yield partial(
                _place,
                dataset.id.read_direct_chunk((row, 0, step))[1],
                format,
                shape,
                overlap(tokens, row, rows),
                overlap(steps, step, length),
                out,
            )


def _starts(wanted: Rows, length: int) -> Sequence[int]:
    """Return where the chunks begin that hold something wanted."""
    if isinstance(wanted, range):
        return range(wanted.start - wanted.start % length, wanted.stop, length)
    return np.unique(wanted - wanted % length).tolist()


def overlap(wanted: Rows, start: int, length: int) -> tuple[slice | np.ndarray, slice]:
    """Return what is wanted of a chunk from `start` on: its places there, and in `wanted`."""
    if not isinstance(wanted, range):
        places = slice(*np.searchsorted(wanted, [start, start + length]))
        return wanted[places] - start, places
    first, last = max(wanted.start, start), min(wanted.stop, start + length)
    return (
        slice(first - start, last - start),
        slice(first - wanted.start, last - wanted.start),
    )


def _place(
    filtered: bytes,
    format: str,
    shape: tuple[int, ...],
    tokens: tuple[slice | np.ndarray, slice],
    steps: tuple[slice, slice],
    out: np.ndarray,
) -> None:
    bits = decode_chunk(filtered, format, shape)
    place(bits[tokens[0], :, steps[0]], out[tokens[1], :, steps[1]])
