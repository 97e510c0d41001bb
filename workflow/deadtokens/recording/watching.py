"""Hooks that a model can carry: they are no part of what is saved or copied of it."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

Guard = Callable[..., Any]  # does a task with what else it is given, and lets no failure out


class Watching:
    """A hook on a module.

    Whoever pickles the module, or makes a deep copy of it (a moving average, say), gets one that
    does nothing and is made of Python's own: what is saved can be loaded where this package is not.
    """

    def __init__(self, take: Callable[..., None], guard: Guard):
        self.take, self.guard = take, guard

    def __call__(self, *arguments: Any) -> None:
        self.guard(self.take, *arguments)

    def __reduce__(self) -> tuple:
        return getattr, (nullcontext(), "__exit__")
