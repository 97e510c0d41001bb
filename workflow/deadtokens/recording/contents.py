"""What a recording holds, as a small file beside its segments says: known without reading them.

The recorder writes it anew with each segment (`listing`). A study plans by it what can be derived;
nothing but the standard library is needed to read it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deadtokens.errors import UserError

FILE = "recording.json"
LOCK = ".lock"


@dataclass(frozen=True)
class Contents:
    """What a recording holds.

    Attributes
    ----------
    vocabulary_size, rows, width : int
        Rows of the weight, those of them that are recorded, and its components.
    updates : int
        Of the training, to the last finished segment.
    every_update : bool
        Whether each of them is recorded.
    tensors, per_update : list of str
        Recorded variables by the names of a record: those of W, and those of each update.
    rule : mapping
        How the optimizer moves the weight, as `recording.rule` found it.
    numbers : mapping of str to float or None
        The optimizer's numbers at the first update, None for those that it has not.
    changing : list of str
        Those of them that changed since.
    """

    vocabulary_size: int
    rows: int
    width: int
    updates: int
    every_update: bool
    tensors: list[str]
    per_update: list[str]
    rule: Mapping[str, Any]
    numbers: Mapping[str, float | None]
    changing: list[str]


def read_contents(folder: Path) -> Contents:
    """Return what the recording in a folder holds.

    Raises
    ------
    UserError
        If the file is missing or damaged.
    """
    path = folder / FILE
    try:
        contents = Contents(**json.loads(path.read_text(encoding="utf-8")))
        sound = all(isinstance(getattr(contents, name), kind) for name, kind in KINDS.items())
        if sound and contents.rule.keys() >= RULE:
            return contents
        reason = "it lacks something"
    except OSError as error:
        reason = error.strerror
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)
    raise UserError(
        f"{path}: does not say what the recording holds ({reason}); "
        f"`deadtokens analyse {folder}` writes it anew"
    )


RULE = {"optimizer", "name", "implementation", "options"}
KINDS = {
    **dict.fromkeys(("vocabulary_size", "rows", "width", "updates"), int),
    "every_update": bool,
    **dict.fromkeys(("tensors", "per_update", "changing"), list),
    **dict.fromkeys(("rule", "numbers"), dict),
}


def is_being_written(folder: Path) -> bool:
    """Return whether a recorder holds the folder at this moment, as far as the disk knows locks."""
    try:
        import fcntl  # not on Windows

        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, ImportError):
        return False
    return False
