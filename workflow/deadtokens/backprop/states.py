"""States of a run to which backpropagation is applied: its start and its checkpoints."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.training.model import initial_weights
from deadtokens.training.state import State, read_checkpoint


def read_states(checkpoints: Sequence[Path], text: str) -> list[State]:
    """Return the start of a run and the states of its checkpoints, each once, in order.

    The values are those that were trained with, widened to float64.

    Parameters
    ----------
    checkpoints : sequence of Path
        Of one run.
    text : str
        Digest of the stream from which the batches will be taken.

    Raises
    ------
    UserError
        If a checkpoint is damaged, belongs to another run or was trained on another text.
    """
    saved = [read_checkpoint(path) for path in checkpoints]
    for path, state in zip(checkpoints, saved, strict=True):
        if state.spec != saved[0].spec:
            raise UserError(f"{path}: belongs to another run than {checkpoints[0]}; give one run's")
        if state.text != text:
            raise UserError(f"{path}: trained on another text than the stream given; give its own")
    states = {state.update: _widened(state) for state in [start_of(saved[0]), *saved]}
    return [states[update] for update in sorted(states)]


def start_of(state: State) -> State:
    """Return the state before the first update of the run that `state` belongs to.

    The initial weights follow from the spec; they are rounded to the regime's format, as the
    training does.
    """
    named = initial_weights(state.spec, len(state.named["embedding.weight"]))
    return replace(state, update=0, named=named)


def _widened(state: State) -> State:
    named = {name: weight.double() for name, weight in state.named.items()}
    return replace(state, named=named)
