"""States of a run as its checkpoints have them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from deadtokens.errors import UserError
from deadtokens.seal import check_seal
from deadtokens.training.spec import RunSpec, read_spec

WEIGHT = "/weight"  # how a checkpoint ends the name of a parameter; its moments end otherwise


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
        return about | status | {"vocabulary_size": rows}


def read_checkpoint(path: Path) -> State:
    """Return the state saved in a checkpoint, in the format of the training.

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
            named = {name.removesuffix(WEIGHT): file.get_tensor(name) for name in names}
        origin = about["origin"]
        spec, text, device = read_spec(origin["spec"]), origin["text"], origin["device"]
        return State(about["update"], named, spec, text, device, about["diverged_at"])
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a readable checkpoint ({error}); train it anew") from None
