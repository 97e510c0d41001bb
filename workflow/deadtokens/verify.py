"""Check segments and checkpoints: complete, undamaged, one line each."""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import h5py
from safetensors import SafetensorError, safe_open

from deadtokens.errors import UserError
from deadtokens.files import is_temporary
from deadtokens.seal import ENDING, check_seal, seal_path

log = logging.getLogger(__name__)

NAMES = ("segment-*.nc", "*.safetensors", f"*{ENDING}", ".*.incomplete*")


def verify(paths: Sequence[Path]) -> tuple[int, int]:
    """Log a line for each segment, checkpoint and leftover among `paths` and in folders below them.

    Returns
    -------
    files, bad : int
        Files that were looked at, and those of them that are no sound result.
    """
    files = list(dict.fromkeys(file for path in paths for file in _data_files(path)))
    bad = 0
    for file in files:
        try:
            log.info(verdict(file))
        except UserError as error:
            bad += 1
            log.error("BAD  %s", error)
    return len(files), bad


def verdict(path: Path) -> str:
    """Return the line on a file that is not bad.

    A segment without a seal is read through instead, every chunk of it.

    Raises
    ------
    UserError
        What is wrong with it.
    """
    if is_temporary(path):
        return f"left {path}: no result, but what an interrupted job left or a running one writes"
    sealed = seal_path(path).is_file() or not path.is_file()
    if sealed:
        check_seal(path)
    try:
        if path.suffix == ".safetensors":
            content = _look_at_checkpoint(path)
        else:
            content = _look_at_segment(path, through=not sealed)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise UserError(f"{path}: not a readable segment or checkpoint ({error})") from None
    return f"ok   {path}: {content}" + ("" if sealed else "; not sealed, but readable")


def _data_files(path: Path) -> list[Path]:
    """Return the file, or those below the folder: those there, and those that left a seal there."""
    found = [path]
    if path.is_dir():
        found = [file for name in NAMES for file in path.rglob(name) if file.is_file()]
    return sorted({file.with_name(file.name.removesuffix(ENDING)) for file in found})


def _look_at_segment(path: Path, through: bool) -> str:
    with h5py.File(path, "r") as file:
        if through:
            file.visititems(_inflate)
        update, status = file["update"][...], file.attrs["status"]
        covered = f"updates {update[0]:,} to {update[-1]:,}" if len(update) else "no updates"
        if status == "diverged":
            status += f" at update {file.attrs['diverged_at'].item():,}"
        return f"{covered}, {status}"


def _inflate(_name: str, item: h5py.Group | h5py.Dataset) -> None:
    """Read a variable, chunk after chunk: deflate's checksums tell what is damaged."""
    if isinstance(item, h5py.Dataset):
        for part in item.iter_chunks() if item.chunks else [...]:
            item[part]


def _look_at_checkpoint(path: Path) -> str:
    with safe_open(path, framework="np") as file:
        about = json.loads(file.metadata()["about"])
        return f"checkpoint after update {about['update']:,}"


def main(arguments: Sequence[str]) -> None:
    """Run the command ``verify``."""
    parser = argparse.ArgumentParser(prog="deadtokens verify", description=__doc__)
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="file, or folder to search"
    )
    files, bad = verify(parser.parse_args(arguments).paths)
    if not files:
        raise UserError("no segment and no checkpoint is there")
    if bad:
        raise UserError(f"{bad:,} of {files:,} files are missing, damaged or no result")


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
