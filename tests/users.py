"""Other users of the machine, where root runs the tests."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

ANNA, BERT = 60601, 60602  # numbers that systems give to nobody
GROUP = 60601  # to which both belong

only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")


@contextmanager
def being(user: int, umask: int = 0o022) -> Iterator[None]:
    """Be another user within: by the effective ids, which are those that the kernel asks for.

    Of the folders of Python and of pytest such a user may see nothing.
    """
    groups, access, before = os.getgroups(), os.access, os.umask(umask)
    os.setgroups([])
    os.setegid(GROUP)
    os.seteuid(user)
    os.access = partial(access, effective_ids=True)
    try:
        yield
    finally:
        os.access = access
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        os.umask(before)


def hand_over(folder: Path, user: int, group: int, closed: int = 0) -> None:
    """Give a folder and all in it to a user and a group, less the closed bits of their modes."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, group)
        path.chmod((0o2775 if path.is_dir() else 0o664) & ~closed)


def obeying_modes() -> list[str]:
    """Return what stands before a command so that root too is refused what modes do not allow."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
