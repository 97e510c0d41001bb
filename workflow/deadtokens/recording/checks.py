"""What a recorder refuses, before the training or at its first update, and in which words."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from deadtokens.errors import UserError
from deadtokens.recording.steps import group_of
from deadtokens.run.bits import INTEGERS, format_of

ALL, DEAD = "all", "dead"
SHARDED = (
    "is cut to pieces, one a process (FSDP, DeepSpeed, tensor parallelism), and a record is of "
    "whole matrices; train with DDP, or on one device"
)


def check_weight(weight: Tensor, optimizer: Optimizer) -> None:
    """Refuse a weight that cannot be recorded."""
    if hasattr(weight, "device_mesh") or hasattr(weight, "ds_id"):  # a DTensor; DeepSpeed's mark
        raise UserError(f"weight: {SHARDED}")
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise UserError(
            "weight: must be a matrix, (vocabulary, width): an embedding's `weight`, and whole, "
            "which FSDP and DeepSpeed do not leave it"
        )
    if weight.dtype not in INTEGERS:
        raise UserError(
            f"weight: is {format_of(weight.dtype)}, and float32 and bfloat16 are what is recorded; "
            "with autocast the weights are float32"
        )
    if group_of(optimizer, weight) is None:
        raise UserError(
            "weight: is none of the optimizer's parameters; give the very parameter that the "
            "optimizer was made with (a model moved or wrapped afterwards may have another; FSDP "
            "and DeepSpeed cut it to pieces)"
        )


def checked_counts(counts: Any, tokens: int) -> np.ndarray:
    """Return how often each token occurs, or whether it does, as an array of whole numbers."""
    counts = np.asarray(counts)
    if counts.shape != (tokens,):
        raise UserError(
            f"counts: has the shape {counts.shape}, and the vocabulary has {tokens} tokens; give "
            "one number a token"
        )
    if counts.dtype.kind not in "biu" or (counts < 0).any():
        raise UserError("counts: must be whole numbers from 0 on, or truth values")
    return counts.astype(np.int64)


def checked_rows(
    rows: str | Iterable[int], live: int, counts: np.ndarray | None, tokens: int
) -> np.ndarray:
    """Return the rows that are recorded, ascending, each once.

    Of the live ones beside the dead so many are drawn, the same of the same counts every time.
    """
    if live and not (isinstance(rows, str) and rows == DEAD):
        raise UserError("live: goes with rows='dead', as so many live rows beside all dead ones")
    if isinstance(rows, str) and rows == ALL:
        return np.arange(tokens)
    if isinstance(rows, str) and rows == DEAD:
        if counts is None:
            raise UserError("rows: which tokens are dead must be known beforehand; give `counts`")
        chosen = np.flatnonzero(counts == 0)
        if not len(chosen):
            raise UserError("rows: no token is dead by `counts`; record all rows, or some")
        return np.union1d(chosen, _drawn(np.flatnonzero(counts), live))
    if isinstance(rows, str):
        raise UserError(f"rows: {rows!r} is neither 'all' nor 'dead'; or give row numbers")
    chosen = np.unique(np.asarray(list(rows), dtype=np.int64))
    if not len(chosen) or chosen[0] < 0 or chosen[-1] >= tokens:
        raise UserError(f"rows: must be numbers from 0 to {tokens - 1}, one at least")
    return chosen


def _drawn(tokens: np.ndarray, number: int) -> np.ndarray:
    if type(number) is not int or number < 0:
        raise UserError("live: must be a whole number from 0 on")
    return np.random.default_rng(0).permutation(tokens)[:number]


def check_gradient(grad: Tensor, weight: Tensor, shape: torch.Size, dtype: torch.dtype) -> None:
    """Refuse a gradient that is no matrix like the weight, or a weight that is another one."""
    if grad.is_sparse:
        raise UserError(
            "the gradients of the weight are sparse, and a record is of whole matrices; make the "
            "embedding with sparse=False"
        )
    if grad.shape != shape or weight.shape != shape:
        raise UserError(
            f"the weight was {tuple(shape)} and is {tuple(weight.shape)}; a vocabulary that grows "
            "takes a record of its own for each size"
        )
    if weight.dtype != dtype:
        raise UserError(
            f"the weight was {format_of(dtype)} and is {format_of(weight.dtype)}; a record is of "
            "one format"
        )
