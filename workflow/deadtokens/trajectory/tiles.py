"""Everything known of some tokens over one segment, in its own number format: for replays.

A segment holds the state at which it starts, so each gradient finds the states before and after it
in the same file. The optimizer works element by element, so tokens can be taken a few at a time:
memory depends on neither the length of the run nor the size of the vocabulary.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import h5py
import numpy as np
from torch import Tensor

from deadtokens.run import layout
from deadtokens.run.bits import as_tensor, as_tensors
from deadtokens.run.formats import UNSIGNED
from deadtokens.run.rounding import Rounding, rounding_of
from deadtokens.trajectory.ahead import ahead
from deadtokens.trajectory.contents import mean_squares, tensor_format
from deadtokens.trajectory.replay import Replay
from deadtokens.trajectory.segments import Segments, list_segments, open_each
from deadtokens.trajectory.source import Reading, Source, around

TILE_BYTES = 64 << 20  # of all tensors of a tile; two tiles are in memory at a time


@dataclass(frozen=True)
class Evidence:
    """What a segment holds of the state tensors that it does not record.

    Attributes
    ----------
    first : dict of str to Tensor of shape (tokens, components)
        Before the first update.
    checksums : dict of str to int32 Tensor of shape (groups, updates + 1)
        Of each state, as `proof.checksums` gives them.
    group : int
        Rows in a group.
    """

    first: dict[str, Tensor]
    checksums: dict[str, Tensor]
    group: int


@dataclass(frozen=True)
class Tile:
    """The record of some tokens over one segment.

    Attributes
    ----------
    tokens : range
        Rows of the vocabulary.
    updates : range
        The updates t of the segment, each of which is recorded.
    grad : Tensor of shape (updates, tokens, components)
        What each update consumed.
    states : dict of str to Tensor of shape (updates + 1, tokens, components)
        W and what is carried beside it; index 0 is the state before the first update.
    rounding : Rounding
        Of the device that took the updates.
    mean_squares : sequence of float32 ndarray of shape (components,), or of None
        What all rows of W shared in each update.
    evidence : Evidence or None
        Of the state tensors that `states` lacks because nothing was to be replayed.
    """

    tokens: range
    updates: range
    grad: Tensor
    states: dict[str, Tensor]
    rounding: Rounding
    mean_squares: Sequence[np.ndarray | None]
    evidence: Evidence | None = None


def read_tiles(segments: Segments, replay: bool = True) -> Iterator[Tile]:
    """Yield the record tile by tile: all tokens of the first segment, then of the next.

    While the caller works on one tile the next is read. Segments without updates, behind a
    divergence, are passed over.

    Parameters
    ----------
    segments : path or sequence of paths
        Of a run whose gradients are recorded.
    replay : bool
        Replay the state tensors that are not recorded, and prove them; else give the evidence.

    Raises
    ------
    UserError
        If a replay does not give the bits that training had.
    """
    paths = list_segments(segments)
    with open_each(paths) as files, ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from ahead(
            _begin(file, tokens, replay, pool) for file in files for tokens in token_tiles(file)
        )


def token_tiles(file: h5py.File) -> Sequence[range]:
    """Return the ranges of tokens that are read together: whole chunks, within TILE_BYTES."""
    updates = file["update"].shape[0]
    if not updates:
        return []
    tokens, components, _ = file["grad"].shape
    formats = [tensor_format(file, name) for name in layout.readable(file)]
    item = sum(np.dtype(UNSIGNED[format]).itemsize for format in formats)
    fitting = TILE_BYTES // (item * components * (updates + 1))
    rows = file["grad"].chunks[0]
    step = max(rows, fitting - fitting % rows)
    return [range(start, min(start + step, tokens)) for start in range(0, tokens, step)]


def _begin(
    file: h5py.File, tokens: range, replay: bool, pool: ThreadPoolExecutor
) -> Callable[[], Tile]:
    """Begin to read a tile; return what waits for it."""
    updates, lacking = file["update"][...].tolist(), layout.replayed(file)
    steps = around(range(len(updates)), layout.TENSORS)
    of_grad = Source(file).read(tokens, {"grad": steps["grad"]}, pool, steps_first=True)
    grad = as_tensor(of_grad.values["grad"], tensor_format(file, "grad"))
    own = Replay(file, tokens, grad, of_grad.pending) if lacking else None
    source = Source(file, own)
    names = [name for name in layout.STATE_TENSORS if name in file or (replay and name in lacking)]
    of_states = source.read(tokens, {name: steps[name] for name in names}, pool, steps_first=True)
    states = as_tensors(of_states.values, source.formats(names))
    evidence = _evidence(own, lacking, tokens) if lacking and not replay else None
    numbers = range(updates[0], updates[-1] + 1)
    shared = rounding_of(file.attrs), mean_squares(file)
    tile = Tile(tokens, numbers, grad, states, *shared, evidence)
    return partial(_finish, tile, of_grad, of_states)


def _evidence(replay: Replay, lacking: Sequence[str], tokens: range) -> Evidence:
    first = {name: replay.first(name, tokens) for name in lacking}
    stated = {name: replay.stated_of(name, tokens) for name in lacking}
    return Evidence(first, stated, replay.group)


def _finish(tile: Tile, *readings: Reading) -> Tile:
    """Return a tile when its tensors are filled."""
    for reading in readings:
        reading.finish()
    return tile
