"""What the recorders for libraries that own the loop share: the library says when, this says what.

A library's model is wrapped, its optimizer too, and one of its processes alone may write: here the
weight, the module that reads tokens and the optimizer that moves the weight are found.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from os import PathLike
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer

from deadtokens.errors import UserError
from deadtokens.recording.recorder import Recorder
from deadtokens.recording.steps import bare, group_of
from deadtokens.recording.tokens import Counts
from deadtokens.recording.watching import Watching

ChoiceOfWeight = str | Callable[[nn.Module], nn.Parameter] | None


class Parts(NamedTuple):
    """What is watched of a model.

    Attributes
    ----------
    weight : Parameter
    embedding, unembedding : Module or None
        What reads tokens, and what makes logits.
    language : Module or None
        A language model of transformers, which is called with its labels.
    """

    weight: nn.Parameter
    embedding: nn.Module | None
    unembedding: nn.Module | None
    language: nn.Module | None


class Attached:
    """A recorder that a library's callback opens where a training begins and closes at its end.

    Use it as a context manager around the training, or call `close`, where the training may end by
    an error of which the library tells nobody. At the program's end it is closed in any case.

    Parameters
    ----------
    folder : path
        Where the record goes, a folder of its own. That of a training which is resumed from a
        checkpoint is continued there.
    weight : str or callable, optional
        Which weight: its name ("lm_head.weight"), or what returns it of the unwrapped model. By
        default that of the model's `get_output_embeddings()`, or else of its
        `get_input_embeddings()`.
    forward : bool
        Whether mean hidden state, mean probability and entropy of the batches are recorded, at the
        cost of a softmax of the logits.
    **options
        What a `Recorder` takes besides: `tokenizer`, `rows`, `counts`, `segment`, `on_failure`, ...
        The modules that it watches are found; `embedding` and `unembedding` say it otherwise.

    Attributes
    ----------
    recorder : Recorder or None
        Of the present or the last training, in the process that writes.

    Notes
    -----
    Where several processes share the batches (DDP), the first one writes. The gradient is the mean
    over all of them, as each one's optimizer consumes it, and tokens are counted in all of them.
    Losses would be those of the first process's batches alone, and are not recorded.
    """

    def __init__(
        self,
        folder: str | PathLike,
        *,
        weight: ChoiceOfWeight = None,
        forward: bool = False,
        **options: Any,
    ):
        super().__init__()
        self.recorder: Recorder | None = None
        self._folder, self._weight, self._forward, self._options = folder, weight, forward, options
        self._counted: Counts | None = None
        self._optimizer: Optimizer | None = None
        self._several = False
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop recording, and finish the last file."""
        self._open.close()

    def _begin(
        self, model: nn.Module, optimizers: Iterable[Any], updates: int | None = None
    ) -> Parts:
        """Begin to record, or in a process that does not write to count; return what is watched.

        How many `updates` there will be is told, if that is known.
        """
        self.close()
        self.recorder = None
        parts = parts_of(model, self._weight)
        self._several = _processes() > 1
        self._optimizer = stepping(optimizers, parts.weight)
        to_come = None if updates is None else max(updates, 0)  # none of a training that is over
        options = self._watched(parts) | {"updates": to_come} | self._options
        if not self._several or torch.distributed.get_rank() == 0:
            self.recorder = Recorder(self._folder, parts.weight, self._optimizer, **options)
            self._counted = self.recorder.counted
            self._open.callback(self.recorder.close)
        else:
            self._counted = Counts(len(parts.weight))
            if options["embedding"] is not None:
                hook = self._counted.watch(options["embedding"], self._guard)
                self._open.callback(hook.remove)
        if parts.language is not None:
            count = Watching(self._count_labels, self._guard)
            hook = parts.language.register_forward_pre_hook(count, with_kwargs=True)
            self._open.callback(hook.remove)
        return parts

    def _watched(self, parts: Parts) -> dict[str, nn.Module | None]:
        """Return the modules that a recorder is to watch."""
        given = self._options
        if parts.embedding is None and "embedding" not in given and given.get("counts") is None:
            raise UserError(
                "embedding: which module reads the tokens is not to be seen, so none is counted; "
                "give `embedding`, or `counts`"
            )
        if not self._forward:
            return {"embedding": parts.embedding}
        if self._several:
            raise UserError(
                "forward: the means would be those of one of the training's processes; record them "
                "in a training that has one"
            )
        if parts.unembedding is None:
            raise UserError(
                "forward: which module makes the logits is not to be seen; give `unembedding`"
            )
        return {"embedding": parts.embedding, "unembedding": parts.unembedding}

    def _gather(self) -> None:
        """Bring the counts of all processes to the one that writes; before each step, in each."""
        if self._several and self._counted is not None:
            self._counted.gather()

    def _checkpoint(self) -> None:
        if self.recorder is not None:
            self.recorder.checkpoint()

    def _count_labels(self, module: nn.Module, arguments: tuple, named: dict[str, Any]) -> None:
        """Count labels where they differ from the tokens that are read: the others are counted."""
        labels, ids = named.get("labels"), named.get("input_ids")
        if not (module.training and isinstance(labels, Tensor)):
            return
        if isinstance(ids, Tensor) and ids.shape == labels.shape:
            labels = labels.masked_fill(labels == ids, -1)
        self._counted.add(labels)

    def _guard(self, task: Callable, *given: Any) -> Any:
        """Do what may fail without ending the training; a failure ends the record, or is told."""
        if self.recorder is not None:
            return self.recorder.guard(task, *given)
        try:
            return task(*given)
        except Exception as error:
            warnings.warn(f"tokens are missing in a record's counts: {error}", stacklevel=2)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return a model without what compiles it or spreads it over devices."""
    while True:
        if isinstance(model, DistributedDataParallel | DataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):  # torch.compile's
            model = model._orig_mod
        else:
            return model


def stepping(optimizers: Iterable[Any], weight: Tensor) -> Optimizer:
    """Return the optimizer that moves a weight, without what a library wraps it in.

    Raises
    ------
    UserError
        If there is no optimizer. That none has the weight is for a recorder to refuse.
    """
    found = [bare(optimizer) for optimizer in optimizers]
    if not found:
        raise UserError("the training has no optimizer, and its steps are what is recorded")
    return next((one for one in found if group_of(one, weight) is not None), found[0])


def parts_of(model: nn.Module, choice: ChoiceOfWeight = None) -> Parts:
    """Find what is recorded of a model.

    Parameters
    ----------
    model : Module
        Its `get_input_embeddings` and `get_output_embeddings` are asked, or those of the first of
        its modules that has them, as models of transformers do. Else the embedding is the only one
        of as many tokens as the weight has, and the unembedding the linear layer of the weight.
    choice : str, callable or None
        As `Attached` takes it.

    Raises
    ------
    UserError
        If the model does not say which its embedding is, or has no weight of that name.
    """
    whole = unwrapped(model)
    language = next((one for one in whole.modules() if hasattr(one, "get_input_embeddings")), None)
    reads, scores = (_asked(language, f"get_{side}_embeddings") for side in ("input", "output"))
    weight = _chosen(whole, choice, reads if scores is None else scores)
    if scores is None:
        language = None  # its labels, if it has any, are no tokens
        scores = _only(one for one in _all(whole, nn.Linear) if one.weight is weight)
    if reads is None:
        reads = _only(one for one in _all(whole, nn.Embedding) if len(one.weight) == len(weight))
    return Parts(weight, reads, scores, language)


def _asked(language: nn.Module | None, question: str) -> nn.Module | None:
    try:
        return getattr(language, question)() if language is not None else None
    except NotImplementedError:
        return None


def _chosen(model: nn.Module, choice: ChoiceOfWeight, owner: nn.Module | None) -> nn.Parameter:
    if callable(choice):
        return choice(model)
    if choice is None and hasattr(owner, "weight"):
        return owner.weight
    parameters = model.named_parameters(remove_duplicate=False)
    named = {name.replace("_orig_mod.", ""): one for name, one in parameters}
    if choice in named:
        return named[choice]
    wrong = "the model does not say which it is" if choice is None else f"none is called {choice!r}"
    matrices = ", ".join(name for name, one in named.items() if one.ndim == 2)
    raise UserError(f"weight: {wrong}; give the name of one of these: {matrices}")


def _all(model: nn.Module, kind: type[nn.Module]) -> Iterator[nn.Module]:
    return (one for one in model.modules() if isinstance(one, kind))


def _only(found: Iterator[nn.Module]) -> nn.Module | None:
    first, second = next(found, None), next(found, None)
    return first if second is None else None


def _processes() -> int:
    distributed = torch.distributed
    shared = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if shared else 1
