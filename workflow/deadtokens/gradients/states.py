"""The whole model at chosen updates of a run: trained again from the start, or from checkpoints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deadtokens.errors import UserError
from deadtokens.run.spec import RunSpec
from deadtokens.text.read import digest
from deadtokens.training.state import read_checkpoint
from deadtokens.training.trainer import Trainer

EARLY = (1, 2, 3, 6, 11, 21, 51, 101)  # updates that are reached by training again


@dataclass(frozen=True)
class Moment:
    """The weights before an update.

    Attributes
    ----------
    update : int
        The update that these weights and its own batch determine.
    weights : dict of str to Tensor
        By their names in the model.
    """

    update: int
    weights: dict[str, Tensor]


def moments_of_run(
    spec: RunSpec,
    stream: np.ndarray,
    vocabulary_size: int,
    updates: int,
    checkpoints: Sequence[Path],
    early: Sequence[int] = EARLY,
) -> Iterator[Moment]:
    """Yield the moments of a schedule that is dense early and sparse late, each update once.

    First those that are trained again, then those of the checkpoints. The checkpoint behind the
    last update gives the moment before the next one, which the run did not take.

    Parameters
    ----------
    spec : RunSpec
    stream : int32 ndarray of shape (tokens,)
    vocabulary_size : int
    updates : int
        Those that the run took.
    checkpoints : sequence of Path
        In order.
    early : sequence of int
        Updates before which the run is trained again; later ones than `updates` are left out.
    """
    seen = set()
    wanted = [update for update in early if update <= updates]
    for moment in _trained_again(spec, stream, vocabulary_size, wanted):
        seen.add(moment.update)
        yield moment
    for path in checkpoints:
        moment = read_weights(path, spec, digest(stream))
        if moment.update not in seen:
            seen.add(moment.update)
            yield moment


def _trained_again(
    spec: RunSpec, stream: np.ndarray, vocabulary_size: int, updates: Sequence[int]
) -> Iterator[Moment]:
    trainer = Trainer(spec, stream, vocabulary_size, torch.device("cpu"))
    for update in updates:
        while trainer.update < update - 1:
            if trainer.advance() is None:
                return
        weights = dict(trainer.model.named_parameters())
        yield Moment(update, {name: tensor.detach().clone() for name, tensor in weights.items()})


def read_weights(path: Path, spec: RunSpec, text: str) -> Moment:
    """Return the weights of a checkpoint.

    Parameters
    ----------
    path : Path
    spec : RunSpec
    text : str
        Digest of the stream that the run is trained on.

    Raises
    ------
    UserError
        If the file is damaged, not sealed, or of another run.
    """
    state = read_checkpoint(path)
    if (state.spec, state.text) != (spec, text):
        raise UserError(f"{path}: is the checkpoint of another run; give those of the segments")
    return Moment(state.update + 1, state.named)
