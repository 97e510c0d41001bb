"""Whether a folder's record is of the training that is to be recorded there.

What no checkpoint changes is compared before the training begins, the numbers of the first update
when it comes. That the weights go on from a recorded state, `series` finds out then.
"""

import json
from collections.abc import Mapping

import h5py
import numpy as np
import xarray as xr
from torch import Tensor
from torch.optim import Optimizer

from deadtokens.errors import UserError
from deadtokens.recording.folder import Folder
from deadtokens.recording.rule import numbers_of, rule_of
from deadtokens.recording.steps import Group
from deadtokens.run import layout
from deadtokens.run.bits import format_of

ELSEWHERE = "choose another folder"
# Of what is recorded of the tokens, what says it to a recorder.
SAID_BY = {"token": "rows", "token_string": "tokenizer", "dead": "counts"}


def check_same_kind(
    folder: Folder, weight: Tensor, optimizer: Optimizer, census: xr.Dataset
) -> None:
    """Refuse a folder that has segments of another matrix, optimizer or vocabulary."""
    with xr.open_dataset(folder.segments[0], engine="h5netcdf") as held:
        if "recorded" not in held.attrs:
            raise UserError(f"{folder.path}: holds a run that is no recording; {ELSEWHERE}")
        tokens, width = weight.shape
        compared = {
            "vocabulary's size": (int(held.attrs["vocabulary_size"]), tokens),
            "width": (held.sizes["component"], width),
            "format": (held["W"].attrs["recorded_dtype"], format_of(weight.dtype)),
            "optimizer": (_class_of(held.attrs["recorded"]), type(optimizer).__name__),
        }
        for name, (recorded, given) in compared.items():
            if recorded != given:
                raise UserError(
                    f"{folder.path}: holds another training, whose {name} is {recorded}, and that "
                    f"of this one {given}; {ELSEWHERE}"
                )
        for name, argument in SAID_BY.items():
            if name in held and name in census and not np.array_equal(held[name], census[name]):
                raise UserError(
                    f"{argument}: differ from those that {folder.path} was recorded with; give "
                    f"the same, or {ELSEWHERE}"
                )


def check_same_beginning(folder: Folder, beginning: Mapping[str, float]) -> None:
    """Refuse to set a record aside for a training that begins alike and goes on otherwise."""
    recorded = _recorded_beginning(folder)
    differing = [
        f"{name} is {recorded.get(name)}, and now {beginning.get(name)}"
        for name in sorted(recorded.keys() | beginning.keys())
        if not _same(recorded.get(name), beginning.get(name))
    ]
    if recorded and differing:
        raise UserError(
            f"{folder.path}: holds another training, which begins with the same weights and other "
            f"numbers ({', '.join(differing)}); {ELSEWHERE}"
        )


def beginning_of(optimizer: Optimizer, group: Group) -> dict[str, float]:
    """Return the numbers of an update, and the optimizer's options that are set."""
    return numbers_of(group) | rule_of(optimizer, group).options


def _recorded_beginning(folder: Folder) -> dict[str, float]:
    """Return what `beginning_of` was at the first update, nothing if that is not recorded."""
    with h5py.File(folder.segments[0], "r") as file:
        if file["update"][0] != 1:
            return {}
        numbers = {name: float(file[name][0]) for name in ("lr", *layout.RULE)}
    return numbers | json.loads(folder.attribute("recorded"))["options"]


def _class_of(rule: str) -> str:
    return json.loads(rule)["name"].rpartition(".")[2]


def _same(one: float | None, other: float | None) -> bool:
    return one == other or (one != one and other != other)
