"""What a recorder is given: taken as what it is meant to be, or refused before anything moves."""

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from deadtokens.errors import UserError
from deadtokens.recording.steps import bare, group_of
from deadtokens.run.bits import INTEGERS, format_of

ALL, DEAD = "all", "dead"
FOUND = "found"  # the embedding is the one that holds the weight
ON_FAILURE = ("warn", "raise")
HOOKS = "_optimizer_step_pre_hooks"  # where torch keeps those that an optimizer's steps call
MODULES = {
    "embedding": "the module that reads the tokens, such as `model.transformer.wte`",
    "unembedding": "the module that makes the logits, such as `model.lm_head`",
}
SHARDED = (
    "is cut to pieces, one a process (FSDP, DeepSpeed, tensor parallelism), and a record is of "
    "whole matrices; train with DDP, or on one device"
)


def checked_folder(folder: Any) -> Path:
    """Return where a record goes; it has a name, as what goes on behind a gap lies beside it."""
    path = os.fspath(folder) if isinstance(folder, os.PathLike) else folder
    if not isinstance(path, str) or not Path(path).name:
        raise UserError(
            f"folder: is {folder!r}, and must be the path of a folder, such as 'recorded/mine'"
        )
    return Path(path)


def checked_optimizer(optimizer: Any) -> Optimizer:
    """Return an optimizer without what a library wraps it in, if its steps call hooks."""
    found = bare(optimizer)
    kind = type(found).__name__
    if not isinstance(found, Optimizer):
        raise UserError(
            f"optimizer: is a {kind}, and must be a `torch.optim.Optimizer`, whose steps call the "
            "hooks by which they are recorded; give the one that it steps, if it wraps one"
        )
    if HOOKS not in vars(found):
        raise UserError(
            f"optimizer: a {kind} whose `__init__` has not called that of `torch.optim.Optimizer`, "
            "so that its steps call no hooks; let it call `super().__init__`, or give the one that "
            "it steps"
        )
    return found


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


def check_modules(embedding: Any, unembedding: Any) -> None:
    """Refuse what is no module where one is to be watched: its weight, its name."""
    if isinstance(embedding, str) and embedding == FOUND:
        embedding = None
    for name, module in (("embedding", embedding), ("unembedding", unembedding)):
        if module is not None and not isinstance(module, nn.Module):
            kind = type(module).__name__
            raise UserError(f"{name}: is a {kind}, and must be {MODULES[name]}: not its weight")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse what is none of the words that an argument may be."""
    if not isinstance(value, str) or value not in choices:
        raise UserError(f"{name}: is {value!r}, and must be {' or '.join(map(repr, choices))}")


def checked_number(name: str, value: Any, least: int) -> int:
    """Return a whole number that is no truth value."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise UserError(f"{name}: is {value!r}, and must be a whole number from {least} on")
    return int(value)


def checked_counts(counts: Any, tokens: int) -> np.ndarray:
    """Return how often each token occurs, int64, or whether it does, bool."""
    counts = _array_of(counts)
    if counts.shape != (tokens,):
        raise UserError(
            f"counts: has the shape {counts.shape}, and the vocabulary has {tokens} tokens; give "
            "one number a token"
        )
    if counts.dtype.kind not in "biu" or (counts < 0).any():
        raise UserError("counts: must be whole numbers from 0 on, or truth values")
    return counts if counts.dtype == bool else counts.astype(np.int64)


def checked_rows(
    rows: str | Iterable[int], live: int, counts: np.ndarray | None, tokens: int
) -> np.ndarray:
    """Return the rows that are recorded, ascending, each once.

    Of the live ones beside the dead so many are drawn, the same of the same counts every time.
    """
    live = checked_number("live", live, 0)
    if live and not (isinstance(rows, str) and rows == DEAD):
        raise UserError("live: goes with rows='dead', as so many live rows beside all dead ones")
    if not isinstance(rows, str):
        return _chosen(_array_of(rows), tokens)
    if rows == ALL:
        return np.arange(tokens)
    if rows == DEAD:
        if counts is None:
            raise UserError("rows: which tokens are dead must be known beforehand; give `counts`")
        chosen = np.flatnonzero(counts == 0)
        if not len(chosen):
            raise UserError("rows: no token is dead by `counts`; record all rows, or some")
        return np.union1d(chosen, _drawn(np.flatnonzero(counts), live))
    raise UserError(f"rows: {rows!r} is neither 'all' nor 'dead'; or give row numbers")


def checked_ids(ids: Any) -> Tensor:
    """Return tokens as a tensor; whether they are whole numbers is found out where they count."""
    if isinstance(ids, Tensor):
        return ids
    try:
        found = np.array(ids)  # torch warns of an array that cannot be written to
        return torch.as_tensor(found if found.size else found.astype(np.int64))
    except (TypeError, ValueError, RuntimeError):
        raise UserError(
            f"count: is given a {type(ids).__name__}, and takes tokens by their ids: a tensor, an "
            "array or a list of whole numbers"
        ) from None


def checked_loss(value: Any) -> Tensor | float:
    """Return a loss as one number, a tensor's where its device has it."""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        return value.detach().clone().reshape(())
    if isinstance(value, Real):
        return float(value)
    given = f"has the shape {tuple(value.shape)}" if hasattr(value, "shape") else f"is {value!r}"
    raise UserError(f"loss: {given}, and must be one number: give what `backward` is called on")


def _array_of(values: Any) -> np.ndarray:
    """Return values as an array; what is no array has no axis."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    elif isinstance(values, Iterable) and not isinstance(values, Sequence | Mapping):
        values = values if hasattr(values, "__array__") else list(values)
    try:
        return np.asarray(values)
    except (TypeError, ValueError):
        return np.asarray(None)


def _chosen(rows: np.ndarray, tokens: int) -> np.ndarray:
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "biu"):
        raise UserError(
            "rows: must be 'all', 'dead', whole numbers of rows, or a truth value for each token"
        )
    if rows.dtype == bool:
        if len(rows) != tokens:
            raise UserError(
                f"rows: has {len(rows):,} truth values, and the vocabulary {tokens:,} tokens; give "
                "one a token"
            )
        rows = np.flatnonzero(rows)
    if not rows.size or rows.min() < 0 or rows.max() >= tokens:
        raise UserError(f"rows: must be numbers from 0 to {tokens - 1}, one at least")
    return np.unique(rows.astype(np.int64))


def _drawn(tokens: np.ndarray, number: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(tokens)[:number]
