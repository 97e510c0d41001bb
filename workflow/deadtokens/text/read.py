"""Read what this stage has made.

Apart from the modules that make it, so that training, which reads a stream and a census, does
not depend on how they are made.
"""

import hashlib
from pathlib import Path

import numpy as np
import xarray as xr

from deadtokens.errors import UserError


def read_stream(path: str | Path) -> tuple[np.ndarray, dict]:
    """Read a stream, verified against its own digest.

    Returns
    -------
    ids : ndarray of int32, shape (positions,)
        The token ids.
    attributes : dict
        text_sha256 and tokenizer_sha256 (of the files it was made from), vocabulary_size (int),
        stream_sha256 (see `digest`).

    Raises
    ------
    UserError
        If the file is missing, damaged, or no stream.
    """
    dataset = _load(path, "token", "stream")
    ids = dataset["token"].values
    if ids.dtype != np.int32 or digest(ids) != dataset.attrs.get("stream_sha256"):
        raise UserError(
            f"the token ids in {path} do not have the digest that the file states; "
            "remove it and make it again with: deadtokens stream"
        )
    attributes = {**dataset.attrs, "vocabulary_size": int(dataset.attrs["vocabulary_size"])}
    return ids, attributes


def read_census(path: str | Path) -> xr.Dataset:
    """Load a census into memory; `deadtokens.text.census.take_census` says what it holds.

    Raises
    ------
    UserError
        If the file is missing, damaged, or no census.
    """
    return _load(path, "why_dead", "census")


def digest(ids: np.ndarray) -> str:
    """Return the SHA-256 of the ids as little-endian 32-bit integers, in hexadecimal digits."""
    return hashlib.sha256(ids.astype("<i4").tobytes()).hexdigest()


def _load(path: str | Path, variable: str, stage: str) -> xr.Dataset:
    """Load a whole file into memory.

    Parameters
    ----------
    path : str or Path
        The file.
    variable : str
        A variable that the file must hold.
    stage : str
        The command that makes such files, for the error's advice.

    Raises
    ------
    UserError
        If the file is missing, damaged, or of another kind.
    """
    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; make it with: deadtokens {stage}") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{path} is no readable NetCDF file ({error}); make it again with: deadtokens {stage}"
        ) from error
    if variable not in dataset:
        raise UserError(
            f"{path} has no variable {variable!r}: it is no file of deadtokens {stage}; "
            "check the path"
        )
    return dataset
