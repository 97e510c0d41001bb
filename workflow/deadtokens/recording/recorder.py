"""Record a weight of somebody's training: W, its gradient and its moments at every update."""

import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from deadtokens.models import canonical_json
from deadtokens.recording.checks import (
    ALL,
    check_gradient,
    check_weight,
    checked_counts,
    checked_rows,
)
from deadtokens.recording.folder import Folder
from deadtokens.recording.forward import Forward
from deadtokens.recording.rule import moments_of, numbers_of, rule_of, updates_done
from deadtokens.recording.steps import Group, Steps, group_of
from deadtokens.recording.tokens import Counts, census_of, strings_of
from deadtokens.run import layout
from deadtokens.run.machine import describe_machine, describe_making
from deadtokens.run.rounding import ATTRIBUTE, ask_rounding
from deadtokens.trajectory.writer import SegmentWriter, write_segment

SEGMENT = 512  # updates in a file
PACKAGES = ("torch", "numpy", "h5netcdf", "h5py", "isal")
State = dict[str, Tensor]


def _contained(method: Callable) -> Callable:
    """Let a failure end the record and not the training, unless that is asked for."""

    @wraps(method)
    def within(self: "Recorder", *arguments: Any) -> Any:
        if self.failure is not None:
            return None
        try:
            return method(self, *arguments)
        except Exception as error:
            return self._fail(error)

    return within


class Recorder:
    """Records a weight of a training, which goes on unchanged.

    Use it as a context manager around the training, or call `close` at its end.

    Parameters
    ----------
    folder : path
        Where the record goes, a folder of its own. That of a training which is started again from
        a checkpoint is continued there.
    weight : Parameter of shape (vocabulary, width)
        The embedding or unembedding, one of the optimizer's parameters; bfloat16 or float32.
    optimizer : Optimizer
        What its step consumes is recorded: the gradient after accumulation, clipping, unscaling.
    tokenizer : Tokenizer, tokenizer of transformers, or sequence of str, optional
        What the tokens spell.
    rows : {'all', 'dead'} or iterable of int
        Which rows of the weight are recorded.
    counts : array of int or bool, shape (vocabulary,), optional
        How often each token occurs in the training text, or whether it does. Without it the tokens
        count that `embedding` reads and `count` is given.
    embedding : Module, optional
        The input embedding: the tokens that it reads in training are counted.
    unembedding : Module, optional
        What makes logits of hidden states: mean hidden state, mean probability and entropy of the
        batches are recorded, at the cost of a softmax of the logits.
    segment : int
        Updates in a file: so many are lost at most if the training is killed.
    on_failure : {'warn', 'raise'}
        Whether a failure of the recorder (a full disk, say) is told once, or ends the training.

    Attributes
    ----------
    failure : Exception or None
        What ended the record before the training's end.

    Raises
    ------
    UserError
        If the weight is none of the optimizer's or cannot be recorded, or the folder is in use or
        cannot be written.
    """

    def __init__(
        self,
        folder: str | PathLike,
        weight: nn.Parameter,
        optimizer: Optimizer,
        *,
        tokenizer: Any = None,
        rows: Literal["all", "dead"] | Iterable[int] = ALL,
        counts: Any = None,
        embedding: nn.Module | None = None,
        unembedding: nn.Module | None = None,
        segment: int = SEGMENT,
        on_failure: Literal["warn", "raise"] = "warn",
    ):
        check_weight(weight, optimizer)
        tokens = weight.shape[0]
        known = None if counts is None else checked_counts(counts, tokens)
        self.weight, self.optimizer, self.shape = weight, optimizer, weight.shape
        self.segment, self.on_failure = segment, on_failure
        self.failure: Exception | None = None
        self.rows = checked_rows(rows, known, tokens)
        all_rows = len(self.rows) == tokens
        self._index = slice(None) if all_rows else torch.as_tensor(self.rows, device=weight.device)
        spelt = None if tokenizer is None else strings_of(tokenizer, tokens)
        self.census = census_of(self.rows, known, spelt)
        self.folder = Folder(Path(folder))
        self.counted, self.forward = Counts(tokens), None
        self.update: int | None = None  # at which the present segment begins
        self._segment, self._writer = ExitStack(), None
        self._before, self._done, self._first = {}, None, {}
        self._watching: list[Any] = [Steps(optimizer, weight, self)]
        if embedding is not None:
            self._watching.append(self.counted.watch(embedding))
        if unembedding is not None:
            self.forward = Forward(unembedding)
            self._watching.append(self.forward)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop recording, and finish the last file."""
        self.checkpoint()
        self._let_go()

    @_contained
    def checkpoint(self) -> None:
        """Finish the present file: call it where the training saves what it can go on from."""
        self._finish()

    def _finish(self) -> None:
        if self._writer is None:
            return
        self._writer.drop_unfinished()
        self.update += self._writer.recorded["update"]
        path, self._writer = self.folder.next, None
        counts = self.counted.take()[self.rows]
        self.census["sampled"] = layout.PER_SEGMENT["sampled"].labelled(counts)
        self._segment.close()
        self.folder.keep(path)

    @_contained
    def count(self, ids: Tensor) -> None:
        """Count tokens of the training's batches that `embedding` does not read: labels."""
        self.counted.add(ids)

    @_contained
    def begins(self) -> None:
        """Take note of the weight before a step, where a segment is to begin with it."""
        if self._writer is None:
            self._before = {name: one.clone() for name, one in self._state().items()}
            self._done = updates_done(self.optimizer, self.weight)

    @_contained
    def consumes(self, grad: Tensor, group: Group) -> None:
        """Record what a step takes; at a segment's first keep it until the segment has begun."""
        check_gradient(grad, self.weight, self.shape)
        consumed = {"grad": self._of_rows(grad), **numbers_of(group)}
        if self.forward is not None:
            consumed |= self.forward.take(self._index)
        if self._writer is not None:
            self._writer.update(consumed)
        else:  # the step may write to the gradient
            self._first = consumed | {"grad": consumed["grad"].clone()}

    @_contained
    def moved(self) -> None:
        """Record the state behind a step."""
        state = self._state()
        if self._writer is None:
            self._writer = self._begin(state)
            self._writer.update(self._first)
        self._writer.state(state)
        if self._writer.recorded["update"] == self.segment:
            self._finish()

    def _of_rows(self, tensor: Tensor) -> Tensor:
        return tensor.detach()[self._index]

    def _state(self) -> State:
        """Return the recorded rows of W, and of what the optimizer carries beside it."""
        held = {"W": self.weight} | moments_of(self.optimizer, self.weight)
        return {name: self._of_rows(tensor) for name, tensor in held.items()}

    def _begin(self, state: State) -> SegmentWriter:
        """Begin a segment with the state before the step, of the tensors that are there behind it.

        What an optimizer makes in its first step was zero before.
        """
        before = {
            name: self._before.get(name, torch.zeros_like(one)) for name, one in state.items()
        }
        if self.update is None:
            self.update = self.folder.place_of(before, self._done)
        tensors = ["W", "grad", *(name for name in before if name != "W")]
        contents = layout.Contents(tensors, (), [name for name in self._first if name != "grad"])
        first, last = self.update, self.update + self.segment
        inside = first, last, self.shape[1], contents, self.census, self._about()
        writer = self._segment.enter_context(write_segment(self.folder.next, *inside))
        writer.state(before)
        return writer

    def _about(self) -> dict[str, Any]:
        """Return the attributes of a segment."""
        rule = rule_of(self.optimizer, group_of(self.optimizer, self.weight))
        return {
            "title": "Recorded embedding matrix of a training and its optimizer, one segment",
            "run": self.folder.path.name,
            "recorded": canonical_json(vars(rule)),
            "status": "complete",
            "vocabulary_size": self.shape[0],
            "updates_before": self._updates_before(),
            ATTRIBUTE: ask_rounding(self.weight.device).as_attribute(),
            **describe_making(describe_machine(self.weight.device), PACKAGES),
        }

    def _updates_before(self) -> int:
        """Return how many updates the weight had before the record, as far as that is known."""
        told = self.folder.attribute("updates_before")
        return int(told) if told is not None else self._done or 0

    def _fail(self, error: Exception) -> None:
        """End the record with what is complete, and tell it; end the training, if asked to."""
        if self.on_failure == "raise":
            raise error
        self.failure = error
        if self._writer is not None:
            with suppress(Exception):  # what fails once more has been told
                self._finish()
        self._let_go()
        warnings.warn(f"the record ends here, the training goes on: {error}", stacklevel=3)

    def _let_go(self) -> None:
        for one in self._watching:
            one.remove()
        self._watching.clear()
        self.folder.release()
