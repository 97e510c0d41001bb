"""Folders in which several people of a group work: who keeps the others out is named."""

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from deadtokens.errors import UserError

OF_SNAKEMAKE = Path(".snakemake")
WHAT_TO_DO = (
    "In a folder that several share, each calls `umask 002` before anything else; what {owner} has "
    "there by now, {owner} opens with `chmod -R g+rwX {folder}`; or work elsewhere (--directory)"
)


def ensure_open(paths: Iterable[Path]) -> None:
    """Refuse what belongs to another user and is closed to this one.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders that are to be written, or will be made.

    Raises
    ------
    UserError
        Names the first that is closed, its owner, and what to do.
    """
    for path in dict.fromkeys(map(_there, paths)):
        needed = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
        if path.stat().st_uid != os.getuid() and not os.access(path, needed):
            owner = _owner(path)
            what_to_do = WHAT_TO_DO.format(owner=owner, folder=Path.cwd())
            closed = path if path.name else Path.cwd()
            raise UserError(f"{closed}: {owner} lets nobody else write there. {what_to_do}.")


def ensure_snakemake_is_let_in(folder: Path = OF_SNAKEMAKE) -> None:
    """Refuse a ``.snakemake`` folder that another user closed: Snakemake writes to all of it.

    Raises
    ------
    UserError
        If it is closed.
    """
    ensure_open([folder])
    if folder.is_dir():
        ensure_open(path for path in sorted(folder.iterdir()) if path.is_dir())


def shuts_out_the_group(folder: Path) -> bool:
    """Return whether a group shares a folder, but may not write what this user makes in it."""
    shared = folder.stat().st_mode
    if not (shared & stat.S_ISGID and shared & stat.S_IWGRP):
        return False
    attempt = folder / f".{secrets.token_hex(8)}"  # the umask alone does not tell: ACLs override it
    os.close(os.open(attempt, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    mode = attempt.stat().st_mode
    attempt.unlink()
    return not mode & stat.S_IWGRP


def _there(path: Path) -> Path:
    """Return the path or, of one that will be made, the folder above that is there."""
    return next(one for one in (path, *path.parents) if os.path.exists(one))


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # without a name on this machine
        return f"user {path.stat().st_uid}"
