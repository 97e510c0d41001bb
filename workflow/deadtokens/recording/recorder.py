"""Record a weight of somebody's training: W, its gradient and its moments."""

import atexit
import logging
import os
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property, partial, wraps
from os import PathLike
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from deadtokens.errors import UserError
from deadtokens.models import canonical_json
from deadtokens.recording.arguments import (
    ALL,
    FOUND,
    ON_FAILURE,
    check_choice,
    check_modules,
    check_weight,
    checked_counts,
    checked_folder,
    checked_ids,
    checked_loss,
    checked_number,
    checked_optimizer,
    checked_rows,
)
from deadtokens.recording.checks import check_gradient
from deadtokens.recording.continuity import Marks
from deadtokens.recording.forgotten import finisher
from deadtokens.recording.forward import Forward
from deadtokens.recording.record import Record, State, copied
from deadtokens.recording.rule import moments_of, numbers_of, rule_of, updates_done
from deadtokens.recording.sameness import beginning_of
from deadtokens.recording.schedule import Schedule
from deadtokens.recording.series import Series
from deadtokens.recording.size import size_of, tell_size
from deadtokens.recording.steps import Group, Steps, group_of
from deadtokens.recording.tokens import Counts, census_of, embeddings_of, strings_of
from deadtokens.run.machine import describe_machine, describe_making
from deadtokens.run.rounding import ATTRIBUTE, ask_rounding

SEGMENT = 512  # updates in a file
FEWEST = 2  # updates between two changes by something else that a record goes on beside
PATIENCE = 100  # steps that do not reach the weight before that is told
# By the names of a record, by what an update has it, if at all.
SAID_BY = {"loss": "loss"} | dict.fromkeys(("h_mean", "probability", "entropy"), "unembedding")
PACKAGES = ("torch", "numpy", "h5netcdf", "h5py", "isal")
log = logging.getLogger(__name__)


def _contained(method: Callable) -> Callable:
    """Let a failure end the record and not the training that has begun, unless that is asked for.

    A process forked from the training's (a worker that loads data) records nothing.
    """

    @wraps(method)
    def within(self: "Recorder", *arguments: Any) -> Any:
        ended = self.failure is not None or not self._unclosed.alive
        if ended or os.getpid() != self._process:
            return None
        try:
            return method(self, *arguments)
        except Exception as error:
            return self._fail(error)

    return within


class Recorder:
    """Records a weight of a training, which goes on unchanged.

    Use it as a context manager around the training, or call `close` at its end. If nobody does, a
    thread finishes the record when the optimizer is gone, at the process's end at the latest.

    Parameters
    ----------
    folder : path
        Where the record goes, a folder of its own. That of a training which is started again from
        a checkpoint is continued there. Where a training goes on at a state that is not recorded
        (from a checkpoint between recorded updates, or behind the last finished file), the record
        goes on in a folder beside it, ``mine-2`` beside ``mine``, and says so.
    weight : Parameter of shape (vocabulary, width)
        The embedding or unembedding, one of the optimizer's parameters; bfloat16 or float32.
    optimizer : Optimizer
        What its step consumes is recorded: the gradient after accumulation, clipping, unscaling.
    tokenizer : Tokenizer, tokenizer of transformers, or sequence of str, optional
        What the tokens spell.
    rows : {'all', 'dead'}, iterable of int, or of bool with one for each token
        Which rows of the weight are recorded.
    live : int
        With rows='dead', how many live rows beside them: a sample drawn by a fixed seed.
    counts : array of int or bool, shape (vocabulary,), optional
        How often each token occurs in the training text, or whether it does. Without it the tokens
        count that `embedding` reads and `count` is given. One that is met is not dead, whatever
        this says; that they differ is told.
    embedding : Module or None, optional
        The input embedding: the tokens that it reads in training are counted, those of this process
        where several share the batches. By default whatever `nn.Embedding` holds the weight; None:
        nothing is counted.
    unembedding : Module, optional
        What makes logits of hidden states: mean hidden state, mean probability and entropy of the
        batches are recorded, at the cost of a softmax of the logits.
    every : int or mapping of int to int
        Every how manieth update is recorded; {0: 1, 1000: 10}: each one up to 1,000, then every
        tenth. Updates are counted from the record's start. What is a mean or a count of batches is
        that of all since the recorded update before.
    updates : int, optional
        How many the training will make: whether the disk has room for them is found out now.
    segment : int
        Recorded updates in a file: so many are lost at most if the training is killed, or up to
        twice as many while a full file is being finished.
    on_failure : {'warn', 'raise'}
        Whether a failure of the recorder behind the first update (a full disk, say) is told once,
        or ends the training. One at the first update or before it ends the training in any case.

    Attributes
    ----------
    size : Size
        Bytes of a recorded update, as they are in the training and about as they are on disk.
    failure : Exception or None
        What ended the record before the training's end.

    Raises
    ------
    UserError
        If the weight is none of the optimizer's or cannot be recorded; if the folder is in use or
        cannot be written, its disk has no room, or it holds another training. What only the first
        update shows is raised by its `optimizer.step`: that the training goes on from no recorded
        state, say.

    Examples
    --------
    >>> weight = model.transformer.wte.weight
    >>> with Recorder("recorded/mine", weight, optimizer, tokenizer=tokenizer) as recorder:
    ...     train(model, optimizer)  # unchanged: its steps are seen by hooks
    """

    def __init__(
        self,
        folder: str | PathLike,
        weight: Tensor,  # as torch declares an embedding's
        optimizer: Optimizer,
        *,
        tokenizer: Any = None,
        rows: Literal["all", "dead"] | Iterable[int] | Iterable[bool] = ALL,
        live: int = 0,
        counts: Any = None,
        embedding: nn.Module | Literal["found"] | None = FOUND,
        unembedding: nn.Module | None = None,
        every: int | Mapping[int, int] = 1,
        updates: int | None = None,
        segment: int = SEGMENT,
        on_failure: Literal["warn", "raise"] = "warn",
    ):
        folder, optimizer = checked_folder(folder), checked_optimizer(optimizer)
        check_weight(weight, optimizer)
        check_modules(embedding, unembedding)
        check_choice("on_failure", on_failure, ON_FAILURE)
        segment = checked_number("segment", segment, 1)
        updates = None if updates is None else checked_number("updates", updates, 0)
        tokens = weight.shape[0]
        known = None if counts is None else checked_counts(counts, tokens)
        self.weight, self._optimizer = weight, weakref.ref(optimizer)
        self.shape, self.dtype = weight.shape, weight.dtype
        self.on_failure, self._process = on_failure, os.getpid()
        self.failure: Exception | None = None
        self.schedule = Schedule(every)
        self.rows = checked_rows(rows, live, known, tokens)
        self._asked = {"rows": rows if isinstance(rows, str) else "chosen", "live": live}
        all_rows = len(self.rows) == tokens
        self._index = None if all_rows else torch.as_tensor(self.rows, device=weight.device)
        self.size = size_of(weight, optimizer, len(self.rows), unembedding is not None)
        recorded = None if updates is None else self.schedule.count(updates)
        tell_size(folder, self.size, segment, recorded)
        spelt = None if tokenizer is None else strings_of(tokenizer, tokens)
        census = census_of(self.rows, known, spelt)
        self.record = Record(Series(folder), census, segment)
        self.counted, self.forward = Counts(tokens, known), None
        self.number: int | None = None  # of the present state; None: not known which it is
        self._before, self._done, self._known = {}, None, False
        self._counted_before = 0  # the optimizer's count at state 0, as far as it is known
        self._marks, self._missed = None, 0
        self._since = FEWEST  # updates since something else has changed the weight
        self._begun = False  # an update is behind it, which would be lost
        self._consumed = False  # a step has, and is not behind its end
        self._due, self._first = False, {}
        self._missing: dict[str, float] = {}  # what is said of an update, as no numbers
        self._late: set[str] = set()  # what says more than that, and that this was told
        self._loss: Tensor | float | None = None  # since the last update
        # When no step can come any more; the optimizer's hooks keep the recorder until then.
        end = partial(_end, self.record, self.counted, self.rows, weight.device)
        self._unclosed = weakref.finalize(optimizer, finisher().give, end)
        self._unclosed.atexit = False  # which comes after HDF5's own end
        atexit.register(self._unclosed)
        self._watching: list[Any] = []
        try:
            self.record.series.check(weight, optimizer, census)
            self._watch(embedding, unembedding)
        except BaseException:
            self._let_go()
            raise

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer, None when it is gone: it is not kept alive, as its end is the record's."""
        return self._optimizer()

    def _watch(
        self, embedding: nn.Module | Literal["found"] | None, unembedding: nn.Module | None
    ) -> None:
        self._watching.append(Steps(self.optimizer, self.weight, self))
        self._watching += self._counting(embedding)
        if unembedding is not None:
            self.forward = Forward(unembedding, self.shape, self.guard)
            self._watching.append(self.forward)

    def _counting(self, embedding: nn.Module | str | None) -> list[Any]:
        """Begin to count what an embedding reads; one that was found need not read anything."""
        if embedding is None:
            return []
        told = embedding != FOUND
        modules = [embedding] if told else embeddings_of(self.weight)
        return [self.counted.watch(one, self.guard, expected=told) for one in modules]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, raised: type[BaseException] | None, *about: object) -> None:
        self._close(tell=raised is None)

    def close(self) -> None:
        """Stop recording, and finish the last file."""
        self._close(tell=True)

    def _close(self, tell: bool) -> None:
        self.checkpoint()
        if tell:
            self._tell_if_nothing()
        if os.getpid() == self._process:
            finisher().wait()  # which has the record, if the optimizer is gone
            self._let_go()

    @_contained
    def _tell_if_nothing(self) -> None:
        """Say it, and why, if the folder has no record."""
        series = self.record.series
        if series.current.segments:
            return
        why = "the optimizer has made no step"
        if self.number:
            why = f"`every` ({self.schedule}) takes none of its {self.number:,} updates"
        elif self._missed:
            why = (
                f"none of the optimizer's {self._missed:,} steps has reached the weight, which had "
                "no gradient (`requires_grad`?)"
            )
        warnings.warn(f"{series.path}: nothing is recorded: {why}", stacklevel=5)

    @_contained
    def checkpoint(self) -> None:
        """Finish the present file: call it where the training saves what it can go on from."""
        self._finish(wait=True)

    @_contained
    def count(self, ids: Any) -> None:
        """Count tokens of the training's batches that `embedding` does not read: labels.

        By their ids, whole numbers: a tensor, an array, a list.
        """
        self.counted.add(checked_ids(ids))

    @_contained
    def loss(self, value: Tensor | float) -> None:
        """Note a loss whose gradient is computed.

        An update's is the sum of those since the one before, as its gradient is: give what
        `backward` is called on. Told from the first update on, it is recorded; later, a warning
        says that it is not.
        """
        value = checked_loss(value)
        self._loss = value if self._loss is None else self._loss + value

    def guard(self, task: Callable, *given: Any) -> Any:
        """Do what may fail as `_contained` has it, and may be compiled with the model."""
        if self.failure is not None:
            return None
        try:
            return task(*given)
        except Exception as error:
            return self._fail(error)

    @_contained
    def begins(self) -> None:
        """Take note of the weight before a step, where it is not known as recorded."""
        if self._consumed:  # by a step that an exception has ended, which the training survives
            self._take_back()
        if self.number is not None and not (self._marks and self._marks.hold()):
            self._look_again()
        if self.number is None:
            self._before = copied(self._state())
            self._done = updates_done(self.optimizer, self.weight)

    @_contained
    def consumes(self, grad: Tensor, group: Group | None) -> None:
        """Record what a step takes; at a segment's first keep it until the segment has begun."""
        if group is None:
            raise UserError(
                "the weight is no more one of the optimizer's parameters; record the one that took "
                "its place in a folder of its own"
            )
        if self.number is None:
            check_gradient(grad, self.weight, self.shape, self.dtype)
            self.counted.check()
            self._settle(beginning_of(self.optimizer, group))
        self._consumed = True
        self._due = self.schedule.takes(self.number + 1)
        if not self._due:
            return
        check_gradient(grad, self.weight, self.shape, self.dtype)
        consumed = {"grad": self._of_rows(grad), **numbers_of(group)}
        if self._loss is not None:
            consumed["loss"] = self._loss
        if self.forward is not None:
            consumed |= self.forward.take(self._index)
        self._tell_unrecorded(consumed)
        if self.record.writer is not None:
            self.record.writer.update(self._missing | consumed, self.number + 1)
        else:  # the step may write to the gradient
            self._first = consumed | {"grad": consumed["grad"].clone()}

    @_contained
    def moved(self) -> None:
        """Record the state behind a step."""
        if self._due:
            self._put(self._state())
            if self.forward is not None:
                self.forward.clear()
        else:  # what it is if it was written to before the next step
            self.record.keep(self.number + 1, self._state())
        self.number += 1
        self._since, self._missed = self._since + 1, 0
        self._marks = Marks(self.optimizer, self.weight)
        self._begun, self._consumed, self._loss = True, False, None

    @_contained
    def passed_over(self) -> None:
        """Take note of a step that did not reach the weight."""
        self._missed += 1
        if self._missed == PATIENCE:
            warnings.warn(
                f"{self.record.series.path}: {PATIENCE} steps of the optimizer have not reached "
                "the weight, which had no gradient: if another one has taken its place, make a "
                "recorder for that",
                stacklevel=5,
            )

    def _tell_unrecorded(self, consumed: Mapping[str, Any]) -> None:
        """Warn, once, of what an update has and the record, which began without it, does not."""
        unrecorded = consumed.keys() - self._missing if self._missing else set()
        late = {SAID_BY[name] for name in unrecorded & SAID_BY.keys()} - self._late
        for source in sorted(late):
            warnings.warn(
                f"{self.record.series.current.path}: what `{source}` says is not recorded, as the "
                "record has begun without it and says the same of each of its updates; to record "
                "it, choose another folder",
                stacklevel=5,
            )
        self._late |= late

    def _put(self, state: State) -> None:
        record = self.record
        if record.writer is None:
            if not self._missing:
                said = [name for name in self._first if name != "grad"]
                self._missing = dict.fromkeys(said, torch.nan)
            record.begin(state, list(self._missing), self._about())
            record.writer.update(self._missing | self._first, self.number + 1)
            self._first = {}
        record.writer.state(state)
        if record.full:
            self._finish(wait=False)

    def _take_back(self) -> None:
        """Forget the update that has begun: nothing of it, if the weight is as it was."""
        self._consumed, self._first = False, {}
        self.record.drop_unfinished()

    def _settle(self, beginning: Mapping[str, float]) -> None:
        """Find out which state the training is at, and let the record go on there."""
        series = self.record.series
        number = series.place_of(self._before, self._done, beginning, self._known)
        self.record.go_on_at(number, self._before)
        # A record says from its beginning to its end the same of each update.
        self._missing = dict.fromkeys(series.current.per_update(), torch.nan)
        recorded = series.current.segments
        self._counted_before = series.current.updates_before if recorded else self._done or 0
        self.number, self._before, self._known = number, {}, True

    def _look_again(self) -> None:
        """Compare the state with what it was, as something else has written to it."""
        counted = updates_done(self.optimizer, self.weight)
        known = counted in (None, self._counted_before + self.number)
        if known and self.record.holds(self.number, self._state()):
            return
        if self._since < FEWEST:
            raise UserError(
                f"the weight is not what update {self.number:,} has left: something else than the "
                "optimizer's steps changes it, or its moments (a maximal norm?), which a record "
                "cannot say"
            )
        self._finish(wait=True)
        self.number, self._since = None, 0

    def _finish(self, wait: bool) -> None:
        counted = self.counted.take()
        self.record.finish(counted[self.rows], wait)
        if said := self.counted.contradicts(counted):
            warnings.warn(f"{self.record.series.path}: {said}", stacklevel=4)

    def _of_rows(self, tensor: Tensor) -> Tensor:
        tensor = tensor.detach()
        return tensor if self._index is None else tensor.index_select(0, self._index)

    def _state(self) -> State:
        """Return the recorded rows of W, and of what the optimizer carries beside it."""
        held = {"W": self.weight} | moments_of(self.optimizer, self.weight)
        return {name: self._of_rows(tensor) for name, tensor in held.items()}

    def _about(self) -> dict[str, Any]:
        """Return the attributes of a segment."""
        series = self.record.series
        rule = rule_of(self.optimizer, group_of(self.optimizer, self.weight))
        return {
            "title": "Recorded embedding matrix of a training and its optimizer, one segment",
            "run": series.current.attribute("run") or series.current.path.name,
            "recorded": canonical_json(vars(rule)),
            "status": "complete",
            "vocabulary_size": self.shape[0],
            "rows": canonical_json(self._asked),
            "every": str(self.schedule),
            "updates_before": self._counted_before,
            "continues": series.continues,
            **self._made,
        }

    @cached_property
    def _made(self) -> dict[str, str]:
        device = self.weight.device
        rounding = ask_rounding(device).as_attribute()
        return {ATTRIBUTE: rounding, **describe_making(describe_machine(device), PACKAGES)}

    def _fail(self, error: Exception) -> None:
        """End the record with what is complete, and tell it; end the training, if asked to.

        Before the first update there is nothing to lose, and a training that nobody records is
        not what was asked for: that ends in any case.
        """
        if not self._unclosed.alive:
            return
        self.failure = error
        with suppress(Exception):  # what fails once more has been told
            self._finish(wait=True)
        self._let_go()
        if self.on_failure == "raise" or not self._begun:
            raise error
        warnings.warn(f"the record ends here, the training goes on: {error}", stacklevel=4)

    def _let_go(self) -> None:
        for one in self._watching:
            one.remove()
        self._watching.clear()
        self.record.release()
        self._unclosed.detach()
        atexit.unregister(self._unclosed)


def _end(record: Record, counted: Counts, rows: np.ndarray, device: torch.device) -> None:
    """Finish the last file of a recorder that nobody has closed."""
    try:
        with _synchronized(device):
            taken = counted.take()
            record.finish(taken[rows], wait=True)
        if said := counted.contradicts(taken):
            log.warning(f"{record.series.path}: {said}")
    except Exception as error:
        log.warning(f"{record.series.path}: the record ends before its last file: {error}")
    with suppress(Exception):  # what fails once more has been told
        record.release()


def _synchronized(device: torch.device) -> AbstractContextManager:
    """Return what lets another thread than the training's use what that has put on a device."""
    if device.type != "cuda":
        return nullcontext()
    torch.cuda.synchronize(device)  # the training may have had a stream of its own
    return torch.cuda.device(device)
