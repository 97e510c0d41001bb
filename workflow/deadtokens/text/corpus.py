"""Obtain one corpus: its text, and a note on where it comes from."""

import hashlib
import json
import logging
import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.seal import complete_and_sealed
from deadtokens.text.local import read_local
from deadtokens.text.sources import PINNED, PinnedSource, ensure

log = logging.getLogger(__name__)


def describe(data: bytes, name: str, origin: dict[str, str], licence: str | None) -> dict:
    """Return what is worth knowing about a corpus.

    Parameters
    ----------
    data : bytes
        The text, UTF-8.
    name : str
        What the corpus is called.
    origin : dict of str
        Package, version and file, or the file alone: where it lay does not belong to the text.
    licence : str or None
        Terms of the text, None if they are not known.

    Returns
    -------
    dict
        JSON-ready: name, origin, bytes, lines, characters (code points), sha256, licence. A last
        line without a newline counts as a line.
    """
    text = data.decode("utf-8")
    return {
        "name": name,
        "origin": origin,
        "bytes": len(data),
        "lines": text.count("\n") + (not text.endswith("\n")),
        "characters": len(text),
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": licence,
    }


def _pinned(source: PinnedSource) -> tuple[bytes, dict]:
    data = ensure(source)
    origin = {"package": source.package, "version": source.version, "file": source.file}
    return data, describe(data, source.name, origin, source.licence)


def _local(path: Path, sha256: str | None) -> tuple[bytes, dict]:
    data = read_local(path, sha256)
    name = os.fsencode(path.name).decode("utf-8", errors="backslashreplace")
    return data, describe(data, name, {"file": name}, None)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    origin = parser.add_mutually_exclusive_group(required=True)
    origin.add_argument("--source", choices=sorted(PINNED), help="a text of a pinned package")
    origin.add_argument("--path", type=Path, metavar="FILE", help="a UTF-8 text file of yours")
    parser.add_argument("--sha256", metavar="HEX", help="digest that the file at --path must have")
    parser.add_argument("--text", type=Path, required=True, metavar="FILE", help="text to write")
    parser.add_argument("--about", type=Path, required=True, metavar="FILE", help="JSON to write")


def main(options: Namespace) -> None:
    """Write the text and the note about it."""
    if options.source and options.sha256:
        raise UserError("--sha256 belongs to --path; a pinned source has its own digest")
    if options.source:
        data, about = _pinned(PINNED[options.source])
    else:
        data, about = _local(options.path, options.sha256)
    with complete_and_sealed(options.text) as path:
        path.write_bytes(data)
    with complete_or_absent(options.about) as path:
        path.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    log.info("corpus %s: %d bytes, %d lines", about["name"], about["bytes"], about["lines"])
