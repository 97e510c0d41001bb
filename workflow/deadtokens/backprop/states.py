"""States of a run to which backpropagation is applied: its start and its checkpoints."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from deadtokens.errors import UserError
from deadtokens.seal import check_seal
from deadtokens.training.model import Transformer
from deadtokens.training.precision import REGIMES
from deadtokens.training.spec import RunSpec, read_spec

WEIGHT = "/weight"  # how a checkpoint ends the name of a parameter; its moments end otherwise


@dataclass(frozen=True)
class State:
    """The model of a run after some updates.

    Attributes
    ----------
    update : int
        Number of updates applied.
    named : dict of str to float64 Tensor
        The parameters by the model's own names: the values trained with, widened.
    spec : RunSpec
    text : str
        Digest of the stream that the run is trained on.
    device : str
    diverged_at : int or None
        The update whose loss was not finite.
    """

    update: int
    named: dict[str, Tensor]
    spec: RunSpec
    text: str
    device: str
    diverged_at: int | None

    def attributes(self) -> dict[str, Any]:
        """Return what a derived file says of the run behind it."""
        status = {"status": "complete"}
        if self.diverged_at is not None:
            status = {"status": "diverged", "diverged_at": self.diverged_at}
        name, rows = self.spec.identity(), len(self.named["embedding.weight"])
        about = {"run": name, "spec": self.spec.json_text(), "device": self.device}
        return about | status | {"vocabulary_size": rows}


def read_states(checkpoints: Sequence[Path], text: str) -> list[State]:
    """Return the start of a run and the states of its checkpoints, each once, in order.

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
    states = {state.update: state for state in [start_of(saved[0]), *saved]}
    return [states[update] for update in sorted(states)]


def read_checkpoint(path: Path) -> State:
    """Return the state saved in a checkpoint.

    Raises
    ------
    UserError
        If the file is damaged, not sealed or no checkpoint.
    """
    check_seal(path)
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            names = [name for name in file.keys() if name.endswith(WEIGHT)]  # noqa: SIM118
            named = {name.removesuffix(WEIGHT): file.get_tensor(name).double() for name in names}
        origin = about["origin"]
        spec, text, device = read_spec(origin["spec"]), origin["text"], origin["device"]
        return State(about["update"], named, spec, text, device, about["diverged_at"])
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a readable checkpoint ({error}); train it anew") from None


def start_of(state: State) -> State:
    """Return the state before the first update of the run that `state` belongs to.

    The initial weights follow from the spec; they are rounded to the regime's format, as the
    training does.
    """
    spec = state.spec
    model = Transformer(spec, len(state.named["embedding.weight"]))
    model = model.to(getattr(torch, REGIMES[spec.precision].weights))
    named = {name: weight.detach().double() for name, weight in model.named_parameters()}
    return State(0, named, spec, state.text, state.device, state.diverged_at)
