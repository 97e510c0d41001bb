"""Parts of one tensor over a whole run, recorded or replayed, read in parallel at once."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import h5py
import numpy as np

from deadtokens.run import layout
from deadtokens.trajectory.ahead import ahead
from deadtokens.trajectory.contents import tensor_shape
from deadtokens.trajectory.segments import (
    Header,
    Segments,
    list_segments,
    open_each,
    read_header,
)
from deadtokens.trajectory.source import Reading, Source

TOGETHER = 2**24  # bytes of rows of which single steps are read


def load_tensor(
    segments: Segments,
    name: str,
    tokens: slice = slice(None),
    steps: slice = slice(None),
) -> np.ndarray:
    """Return part of a tensor over the whole run, float32 of shape (tokens, components, steps).

    Parameters
    ----------
    segments : path or sequence of paths
    name : str
        Of `layout.TENSORS` or `layout.PATHWAYS`.
    tokens, steps : slice, step 1
        Rows of the vocabulary; positions along the run's states or updates, each counted once.
    """
    paths = list_segments(segments)
    with h5py.File(paths[0], "r") as file:
        vocabulary, components, _ = tensor_shape(file, name)
    rows = range(*tokens.indices(vocabulary))
    parts = _parts([read_header(path) for path in paths], name, steps)
    values = np.empty((len(rows), components, sum(map(len, parts.values()))), np.float32)
    outs = np.split(values, np.cumsum([len(part) for part in parts.values()]), axis=2)[:-1]
    wanted = [paths[place] for place in parts]
    with open_each(wanted) as files, ThreadPoolExecutor(os.cpu_count()) as pool:
        begun = (
            Reading({}, source.begin({name: out}, rows, {name: part}, pool)).finish
            for source, part, out in zip(map(Source, files), parts.values(), outs, strict=True)
        )
        deque(ahead(begun), maxlen=0)
    return values


def load_steps(segments: Segments, name: str, steps: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield single steps of a tensor, each float32 of shape (tokens, components).

    Those of about one chunk are read at once, some rows at a time.

    Parameters
    ----------
    segments : path or sequence of paths
    name : str
        Of `layout.TENSORS` or `layout.PATHWAYS`.
    steps : sequence of int, ascending
        Positions along the run's states or updates, each counted once.
    """
    for _, group in groupby(steps, key=lambda step: step // layout.STEPS_PER_CHUNK):
        yield from _load_near(segments, name, list(group))


def _load_near(segments: Segments, name: str, steps: Sequence[int]) -> np.ndarray:
    """Return steps that lie near each other, float32 of shape (steps, tokens, components)."""
    with h5py.File(list_segments(segments)[0], "r") as file:
        tokens, components, _ = tensor_shape(file, name)
    wanted, span = np.array(steps) - steps[0], slice(steps[0], steps[-1] + 1)
    found = np.empty((len(steps), tokens, components), np.float32)
    length = max(1, TOGETHER // (4 * components * (span.stop - span.start)))
    for start in range(0, tokens, length):
        rows = slice(start, start + length)
        values = load_tensor(segments, name, rows, span)
        found[:, rows] = values[:, :, wanted].transpose(2, 0, 1)
    return found


def _parts(headers: Sequence[Header], name: str, steps: slice) -> dict[int, range]:
    """Return where in which segments, by their place, the wanted steps of a run lie."""
    of_states = name in layout.STATE_TENSORS
    parts, begin = {}, 0
    lengths = [header.states if of_states else header.updates for header in headers]
    # A segment begins with the state before it.
    own = [range(int(of_states and place > 0), length) for place, length in enumerate(lengths)]
    wanted = range(*steps.indices(sum(map(len, own))))
    for place, part in enumerate(own):
        first, last = max(wanted.start - begin, 0), min(wanted.stop - begin, len(part))
        if first < last:
            parts[place] = part[first:last]
        begin += len(part)
    return parts
