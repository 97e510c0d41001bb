"""Read text files.

Apart from `deadtokens.text.sources`, so that another pinned source leaves alone what only reads
a file.
"""

import hashlib
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.identity import check_text
from deadtokens.seal import check_seal


def read_local(path: str | Path, sha256: str | None = None) -> bytes:
    """Return the bytes of a UTF-8 text file, unchanged.

    Parameters
    ----------
    path : str or Path
        The text file.
    sha256 : str, optional
        The expected SHA-256 of the file, in hexadecimal digits.

    Returns
    -------
    bytes
        Valid UTF-8, at least one byte.

    Raises
    ------
    UserError
        If the file is missing, empty, not UTF-8, or has another digest than the one expected or
        the one that the name of a corpus's folder ends in, or is not what was sealed.
    """
    data = _read_bytes(path)
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise UserError(
            f"the file {path} has the SHA-256 {found}, expected was {sha256}; "
            "restore the file or state its new digest"
        )
    check_seal(Path(path), required=False)
    check_text(Path(path), found)
    if not data:
        raise UserError(f"the file {path} is empty; give a file that holds text")
    _require_utf8(data, path)
    return data


def _read_bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"the file {path} cannot be read ({error.strerror}); check the path"
        ) from error


def _require_utf8(data: bytes, path: str | Path) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"the file {path} is not UTF-8: byte {error.start} (counted from 0) is "
            f"0x{data[error.start]:02x}, {error.reason}; convert the file to UTF-8"
        ) from error
