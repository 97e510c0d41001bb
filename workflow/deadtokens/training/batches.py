"""Batches as a function of (seed, update) alone: any update can be reproduced by itself."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from deadtokens.run.spec import RunSpec, batch_seed


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
    windows = _windows(stream, batch, context, seed, update)
    return windows[:, :-1], windows[:, 1:]


def _windows(stream: np.ndarray, batch: int, context: int, seed: int, update: int) -> np.ndarray:
    starts = batch_starts(len(stream), batch, context, seed, update)
    return stream[starts[:, None] + np.arange(context + 1)].astype(np.int64)


def batch_of(spec: RunSpec, stream: np.ndarray, update: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and targets of one update of a run, as `read_batch` does."""
    return read_batch(stream, spec.batch, spec.context, batch_seed(spec), update)


def batches_of(spec: RunSpec, stream: np.ndarray, updates: Sequence[int]) -> np.ndarray:
    """Return the tokens of several updates of a run, int64 (updates, batch, context + 1).

    Of each sequence the first `context` are the inputs of `batch_of`, the last the targets.
    """
    sizes = spec.batch, spec.context, batch_seed(spec)
    return np.stack([_windows(stream, *sizes, update) for update in updates])


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on a device; the program goes on while a GPU copies it."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def count_sampled(
    stream: np.ndarray, batch: int, context: int, seed: int, updates: Iterable[int], tokens: int
) -> np.ndarray:
    """Return at how many positions of the updates' batches each token stands.

    As input, as label or as both: a position counts once.

    Parameters
    ----------
    stream : ndarray of int, shape (positions,)
    batch, context, seed : int
        See `batch_starts`.
    updates : iterable of int
    tokens : int
        Size of the vocabulary.

    Returns
    -------
    int64 ndarray of shape (tokens,)
    """
    counts = np.zeros(tokens, np.int64)
    for update in updates:
        inputs, targets = read_batch(stream, batch, context, seed, update)
        for part in (inputs.ravel(), targets[:, -1]):
            counts += np.bincount(part, minlength=tokens)
    return counts
