"""Tensors of a safetensors file."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from deadtokens.matrices.stored import Contents, Stored, distinct, unreadable

FORMATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
LENGTH = 8  # bytes that say how long the header is


def read_safetensors(path: Path) -> Contents:
    """Return what a safetensors file holds.

    The library holds the header against the file's size and each tensor's place against its shape.
    It would take the last of two tensors of the same name, and says of none where it lies: that is
    read beside it.

    Raises
    ------
    UserError
        If the file is damaged or no safetensors file.
    """
    try:
        with safe_open(path, framework="numpy"):
            header, start = _header(path)
    except (SafetensorError, ValueError) as error:
        raise unreadable(path, "safetensors file", error) from None
    metadata = header.pop("__metadata__", {})
    return Contents(
        path, {name: _stored(name, it, path, start) for name, it in header.items()}, metadata
    )


def _header(path: Path) -> tuple[dict, int]:
    """Return the header and where the numbers begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        return json.loads(file.read(length), object_pairs_hook=distinct), LENGTH + length


def _stored(name: str, about: dict, path: Path, start: int) -> Stored:
    number_format = FORMATS.get(about["dtype"], about["dtype"])
    return Stored(
        name, tuple(about["shape"]), number_format, path, start + about["data_offsets"][0]
    )
