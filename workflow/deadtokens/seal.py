"""Seals: what tells a finished data file from a torn or damaged one.

Beside ``segment-000.nc`` stands ``segment-000.nc.seal.json`` with the file's length and CRC-32. That
guards against accidents (interrupted writes, torn copies, failing disks), not against forgers, and
it is read faster than a disk delivers; the deflated chunks carry checksums of their own besides.
"""

import json
from functools import lru_cache
from pathlib import Path

from isal import isal_zlib

from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent

ENDING = ".seal.json"
PIECE = 2**22


def seal_path(path: Path) -> Path:
    """Return where the seal of a data file stands."""
    return path.with_name(path.name + ENDING)


def seal(path: Path) -> None:
    """Write the seal of a finished file."""
    content = {"file": path.name, "bytes": path.stat().st_size, "crc32": crc32(path)}
    text = json.dumps(content) + "\n"
    with complete_or_absent(seal_path(path), needed=len(text)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_seal(path: Path) -> None:
    """Compare a file with its seal; a file once read is not read again unless it changes.

    Raises
    ------
    UserError
        If the file or its seal is missing, or the file is not the one that was sealed.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; run snakemake again, which makes it anew")
    stated, status = _read_seal(path), path.stat()
    if status.st_size != stated["bytes"]:
        problem = "truncated" if status.st_size < stated["bytes"] else "damaged"
        raise UserError(
            f"{path}: {problem}: it has {status.st_size:,} of {stated['bytes']:,} bytes; {_remedy(path)}"
        )
    if _known_crc32(path.absolute(), status.st_size, status.st_mtime_ns) != stated["crc32"]:
        raise UserError(f"{path}: damaged: its bytes are not those that were sealed; {_remedy(path)}")


def crc32(path: Path) -> str:
    """Return the CRC-32 of the file's bytes as 8 hexadecimal digits."""
    value, piece = 0, bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(piece):
            value = isal_zlib.crc32(memoryview(piece)[:length], value)
    return f"{value:08x}"


@lru_cache(maxsize=4096)
def _known_crc32(path: Path, _bytes: int, _mtime_ns: int) -> str:
    return crc32(path)


def _read_seal(path: Path) -> dict[str, str | int]:
    try:
        stated = json.loads(seal_path(path).read_text(encoding="utf-8"))
        kinds = {"file": str, "bytes": int, "crc32": str}
        if {name: type(value) for name, value in stated.items()} != kinds:
            raise ValueError("another content")
    except FileNotFoundError:
        raise UserError(
            f"{path}: not sealed, so it may be incomplete; copy {seal_path(path).name} beside it, "
            f"or {_remedy(path)}"
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{seal_path(path)}: damaged ({error}); {_remedy(path)}") from None
    if stated["file"] != path.name:
        raise UserError(f"{seal_path(path)}: the seal of {stated['file']!r}, not of {path.name}")
    return stated


def _remedy(path: Path) -> str:
    return (
        f"remove {path.name} and run snakemake again: it is made anew from the checkpoint before it"
    )
