"""Read what this stage has made.

Apart from the modules that make it, so that training, which reads a stream and a census, does
not depend on how they are made.
"""

import hashlib
from numbers import Integral
from pathlib import Path

import numpy as np
import xarray as xr

from deadtokens.errors import UserError
from deadtokens.identity import VOCABULARY, check_vocabulary, vocabulary_of
from deadtokens.netcdf import read


def read_stream(path: str | Path) -> tuple[np.ndarray, dict]:
    """Read a stream, verified against its own digest.

    Returns
    -------
    ids : ndarray of int32, shape (positions,)
        The token ids.
    attributes : dict
        text_sha256 and tokenizer_sha256 (of the files it was made from), vocabulary_size (int),
        stream_sha256 (see `digest`), and vocabulary, if it was made in the folder of one.

    Raises
    ------
    UserError
        If the file is missing, damaged, no stream, or of another vocabulary than its folder.
    """
    dataset = _load(path, "token", "stream")
    ids = dataset["token"].values
    if ids.dtype != np.int32 or digest(ids) != dataset.attrs.get("stream_sha256"):
        raise UserError(
            f"the token ids in {path} do not have the digest that the file states; "
            "make it again with: deadtokens stream"
        )
    return ids, {**dataset.attrs, "vocabulary_size": int(dataset.attrs["vocabulary_size"])}


def read_census(path: str | Path) -> xr.Dataset:
    """Load a census into memory; `deadtokens.text.census.take_census` says what it holds.

    Raises
    ------
    UserError
        If the file is missing, damaged, no census, or of another vocabulary than its folder.
    """
    return _load(path, "why_dead", "census")


def read_vocabulary(
    stream: str | Path, census: str | Path, vocabulary: str = ""
) -> tuple[np.ndarray, dict, xr.Dataset]:
    """Read the stream and the census of one vocabulary.

    Parameters
    ----------
    stream, census : str or Path
    vocabulary : str
        The name of the vocabulary that they must be of, if it is one made from content.

    Returns
    -------
    ids : ndarray of int32, shape (positions,)
    attributes : dict
        Of the stream, as `read_stream` gives them.
    census : Dataset

    Raises
    ------
    UserError
        If one of them cannot be read, they are not of each other, or of another vocabulary.
    """
    ids, attributes = read_stream(stream)
    counted = read_census(census)
    size = counted.sizes["token"]
    if counted.attrs.get("stream_sha256") != attributes["stream_sha256"]:
        raise UserError(
            f"{census}: is the census of another stream than {stream}; make both again, or give "
            "those of one vocabulary"
        )
    if not np.array_equal(np.bincount(ids, minlength=size), counted["count"].values):
        raise UserError(
            f"{census}: its counts are not those of {stream}; make it again with: deadtokens census"
        )
    named = attributes.get("vocabulary") or vocabulary_of(Path(stream))
    if named and VOCABULARY.fullmatch(vocabulary) and named != vocabulary:
        raise UserError(
            f"{stream}: is of the vocabulary {named}, but the run is trained on {vocabulary}; give "
            "its own"
        )
    return ids, attributes, counted


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
        If the file is missing, damaged, of another kind, or of another vocabulary than its folder.
    """
    dataset = read(path, f"make it with: deadtokens {stage}")
    if variable not in dataset or not isinstance(dataset.attrs.get("vocabulary_size"), Integral):
        missing = f"no variable {variable!r}" if variable not in dataset else "no vocabulary_size"
        raise UserError(
            f"{path} has {missing}: it is no file of deadtokens {stage}; check the path"
        )
    check_vocabulary(Path(path), dataset.attrs)
    return dataset
