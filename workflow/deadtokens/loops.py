"""Loops that are compiled, by numba, and kept from run to run.

Compiled code is kept beside the module, as Python keeps its own; in the user's cache folder where
that cannot be written to, or has another user's code that this one may not read, and not at all
where neither will do. numba takes what it has kept for fresh as long as the function's own file is
what it was, whatever became of the functions and numbers that the file imports. Here the
fingerprint of the module decides, which covers them. What others compile in the same process is
kept as they are used to.

Each compiled function should meet one set of types alone: two processes that keep the code of one
function for different types in the same moment can exchange it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching
from numba.extending import register_jitable

from deadtokens.fingerprint import fingerprint

# Sums in any order and fused multiply-adds; NaN and infinities stay what they are.
REGROUPED = {"reassoc", "contract", "arcp", "nsz"}


def compiled(function: Callable) -> Callable:
    """Compile a function when it is first called: every operation as it stands, as numpy has it."""
    return _compile(function)


def regrouped(function: Callable) -> Callable:
    """Compile a function whose sums may be taken in any order: faster where bits do not count."""
    return _compile(function, fastmath=REGROUPED)


@cache
def inlined(function: Callable) -> Callable:
    """Let compiled functions call a plain one as if its body stood in theirs, and return it."""
    return register_jitable(inline="always")(function)


def _compile(function: Callable, **options: Any) -> Callable:
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        with _kept_by_fingerprint():
            return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to
        return numba.njit(**options)(function)


@contextmanager
def _kept_by_fingerprint() -> Iterator[None]:
    """Have numba keep what is declared now where `PLACES` say; it looks once, at the declaration.

    The setting is one for the whole process, and others' modules have no fingerprint.
    """
    before = numba.config.CACHE_LOCATOR_CLASSES
    numba.config.CACHE_LOCATOR_CLASSES = PLACES
    try:
        yield
    finally:
        numba.config.CACHE_LOCATOR_CLASSES = before


_stamp = cache(fingerprint)


@cache
def _all_is_readable(folder: str) -> bool:
    """Return whether no other user keeps code there from this one: numba would fail to read it."""
    return all(os.access(file, os.R_OK) for file in Path(folder).glob("*.nb[ic]"))


class _Stamped:
    def __init__(self, function: Callable, file: str):
        super().__init__(function, file)
        self.module = function.__module__

    def ensure_cache_path(self) -> None:
        super().ensure_cache_path()
        if not _all_is_readable(self.get_cache_path()):
            raise PermissionError(self.get_cache_path())  # and numba looks for the next place

    def get_source_stamp(self) -> str:
        return _stamp(self.module)


class Chosen(_Stamped, caching.UserProvidedCacheLocator):
    """The folder that the variable NUMBA_CACHE_DIR names."""


class BesideModule(_Stamped, caching.InTreeCacheLocator):
    """The folder ``__pycache__`` beside the module."""


class OfUser(_Stamped, caching.UserWideCacheLocator):
    """The user's cache folder."""


PLACES = ",".join(f"{__name__}.{place.__name__}" for place in (Chosen, BesideModule, OfUser))
