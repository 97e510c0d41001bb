"""Release the record of a run: remove it once everything that is read from it is sealed."""

import json
import logging
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from deadtokens.arguments import add_output
from deadtokens.files import complete_or_absent, ensure_writable
from deadtokens.seal import check_seal, seal_path


def release(record: Sequence[Path], derived: Sequence[Path], receipt: Path) -> int:
    """Remove the files of a record with their seals, and return how many bytes they had.

    The receipt is written first and the first segment removed before all others: a run with a
    receipt and without its first segment is released, wherever this is interrupted.

    Parameters
    ----------
    record : sequence of Path
        Segments, the first one first, and checkpoints; those that are gone already do not matter.
    derived : sequence of Path
        What is read from them.
    receipt : Path
        Gets the names of both, as JSON.

    Raises
    ------
    UserError
        If a derived file is missing, or is not the one that was sealed, or if the record may not
        be removed; then nothing is.
    """
    for path in derived:
        check_seal(path)
    for path in record:
        if path.exists():
            ensure_writable(path)  # else its folder is another user's, who keeps it closed
    names = {
        kind: [os.path.relpath(path, receipt.parent) for path in paths]
        for kind, paths in (("released", record), ("derived", derived))
    }
    with complete_or_absent(receipt) as temporary:
        temporary.write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")
    freed = 0
    for path in record:
        freed += path.stat().st_size if path.exists() else 0
        path.unlink(missing_ok=True)
        seal_path(path).unlink(missing_ok=True)
    for folder in {path.parent for path in record}:
        with suppress(OSError):  # something else lies there
            folder.rmdir()
    return freed


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("record", type=Path, nargs="+", help="segments of the run, and checkpoints")
    parser.add_argument(
        "--derived", type=Path, nargs="+", required=True, help="what is read from the record"
    )
    add_output(parser, "JSON file to write: what was removed")


def main(options: Namespace) -> None:
    """Run the command ``release``."""
    freed = release(options.record, options.derived, options.output)
    logging.getLogger(__name__).info(f"{options.output.parent}: {freed / 1e6:,.0f} MB released")
