"""Batches as a function of (seed, update) alone: any update can be reproduced by itself."""

import numpy as np


def batch_starts(
    stream_length: int, batch: int, context: int, seed: int, update: int
) -> np.ndarray:
    """Return where the sequences of one batch start in the stream.

    Parameters
    ----------
    stream_length : int
        Tokens in the stream; more than `context`.
    batch, context : int
        Sequences, and tokens of each.
    seed, update : int
        The counter-based generator Philox is keyed by both.

    Returns
    -------
    ndarray of shape (batch,)
        Uniform over all starts that leave room for `context` tokens and the label of the last.
    """
    generator = np.random.Generator(np.random.Philox(key=[seed, update]))
    return generator.integers(0, stream_length - context, size=batch)


def read_batch(
    stream: np.ndarray, batch: int, context: int, seed: int, update: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and targets of one update, each int64 of shape (batch, context).

    The labels are shifted once, here: ``targets[:, i]`` follows ``inputs[:, i]`` in the stream.
    """
    starts = batch_starts(len(stream), batch, context, seed, update)
    windows = stream[starts[:, None] + np.arange(context + 1)].astype(np.int64)
    return windows[:, :-1], windows[:, 1:]
