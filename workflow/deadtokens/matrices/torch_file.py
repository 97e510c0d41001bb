"""Tensors of a checkpoint of PyTorch, without loading one and without running what it brings."""

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import torch

from deadtokens.errors import UserError
from deadtokens.matrices.stored import LARGEST_HEADER, ZIP, Contents, Stored, shown, unreadable

KIND = "checkpoint of PyTorch"
NESTED = ("state_dict", "model_state_dict", "model", "module")  # where the tensors may be
LOCAL_HEADER = struct.Struct("<4s22xHH")  # before a record: ends with the lengths of what follows


def read_torch(path: Path) -> Contents:
    """Return what a checkpoint holds.

    Its pickle is read by torch's own reader of weights alone, onto the device 'meta': no tensor
    takes memory, and each says where in the file its numbers are.

    Raises
    ------
    UserError
        If the file is damaged, of the format before torch 1.6, packed, or has code in it.
    """
    with path.open("rb") as file:
        if file.read(len(ZIP)) != ZIP:
            raise UserError(
                f"{path}: no checkpoint in the zip format of torch 1.6 and later, and nothing of "
                "it was run; if you trust it, load it with torch and save it anew as safetensors"
            )
    records = _records(path)
    tensors = {
        name: _stored(name, value, path, records)
        for name, value in _state(_loaded(path)).items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    return Contents(path, tensors, {})


def _records(path: Path) -> dict[int, int]:
    """Return where the records of the archive begin, and how long they are."""
    try:
        with ZipFile(path) as archive, path.open("rb") as file:
            records = archive.infolist()
            for record in records:
                _check_record(record)
            for record in records:
                if record.filename.endswith("/byteorder") and archive.read(record) != b"little":
                    raise BadZipFile("its numbers are not little-endian")
            return {_begin(record, file): record.file_size for record in records}
    except (BadZipFile, EOFError, NotImplementedError, ValueError, struct.error) as error:
        raise unreadable(path, KIND, error) from None


def _check_record(record: ZipInfo) -> None:
    """Refuse a record that would be larger in memory than in the file, or no header for one."""
    name, size = shown(record.filename), record.file_size
    if record.compress_type != ZIP_STORED or size != record.compress_size or record.flag_bits & 1:
        raise BadZipFile(f"its record {name} is packed, and torch packs none")
    if "/data/" not in record.filename and size > LARGEST_HEADER:
        raise BadZipFile(f"its record {name} has {size:,} bytes")


def _begin(record: ZipInfo, file: BinaryIO) -> int:
    """Return where a record's bytes begin."""
    file.seek(record.header_offset)
    magic, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    if magic != ZIP:
        raise BadZipFile(f"its record {shown(record.filename)} is not where the archive says")
    return record.header_offset + LOCAL_HEADER.size + name + extra


def _loaded(path: Path) -> object:
    try:
        return torch.load(path, map_location="meta", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if not asked:
            raise unreadable(path, KIND, "its pickle is damaged, or no plain one") from None
        raise UserError(
            f"{path}: its pickle calls {shown(asked[1])}, which can be any code, and nothing of it "
            "was run; if you trust the file, save its state_dict anew as safetensors"
        ) from None
    except OSError:
        raise
    except Exception as error:  # a damaged pickle makes torch raise anything
        reason = f"{type(error).__name__} {error}".partition("\n")[0]
        raise unreadable(path, KIND, reason) from None


def _state(loaded: object) -> Mapping:
    """Return the mapping that has the tensors, which may stand in another one."""
    if not isinstance(loaded, Mapping):
        return {}
    inner = (loaded.get(name) for name in NESTED)
    return next((it for it in inner if isinstance(it, Mapping)), loaded)


def _stored(name: str, tensor: torch.Tensor, path: Path, records: Mapping[int, int]) -> Stored:
    number_format = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout != torch.strided or not tensor.is_contiguous():
        return Stored(name, tuple(tensor.shape), f"{number_format}, not row after row", path, 0)
    storage = tensor.untyped_storage()
    begin = getattr(storage, "_checkpoint_offset", None)
    end = (
        tensor.storage_offset() + tensor.numel()
    ) * tensor.itemsize  # torch's own check runs over
    if begin is None or records.get(begin) != storage.nbytes() or end > storage.nbytes():
        raise unreadable(path, KIND, f"{shown(name)} claims other bytes than the file holds")
    offset = begin + tensor.storage_offset() * tensor.itemsize
    return Stored(name, tuple(tensor.shape), number_format, path, offset)
