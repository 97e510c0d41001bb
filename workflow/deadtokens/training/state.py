"""States of a run as its checkpoints have them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deadtokens.errors import UserError
from deadtokens.remedy import remedy
from deadtokens.run.machine import DEVICE
from deadtokens.run.spec import RunSpec, read_spec
from deadtokens.training.checkpoint import WEIGHT, check_tensors, read_saved
from deadtokens.training.model import Transformer


@dataclass(frozen=True)
class State:
    """The model of a run after some updates.

    Attributes
    ----------
    update : int
        Number of updates applied.
    named : dict of str to Tensor
        The parameters by the model's own names.
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
        return about | status | {"vocabulary_size": rows, "updates": self.update}


def read_checkpoint(path: Path) -> State:
    """Return the state saved in a checkpoint, in the format of the training.

    Raises
    ------
    UserError
        If the file is damaged, not sealed, no checkpoint, not that of its folder and name, or not
        one of the model that its spec says.
    """
    saved = read_saved(path)
    spec = read_spec(saved.origin.get("spec", ""))
    weights = saved.of_kind(WEIGHT)
    rows = weights.get("embedding.weight", torch.empty(1)).shape[0]
    check_tensors(saved, Transformer(spec, rows), spec, path)
    if saved.diverged_at is None and (not saved.update or saved.update % spec.record.segment):
        raise UserError(
            f"{path}: update {saved.update:,} ends no segment of {spec.record.segment:,} updates; "
            f"{remedy(path)}"
        )
    text, device = saved.origin.get("text", ""), saved.machine.get(DEVICE, "")
    return State(saved.update, weights, spec, text, device, saved.diverged_at)
