"""Hooks that a model can carry: they are no part of what is saved or copied of it."""

from collections.abc import Callable
from contextlib import nullcontext
from inspect import signature
from typing import Any

from torch import nn

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


def first_of(module: nn.Module) -> Callable[[tuple, dict[str, Any]], Any]:
    """Return what finds the first of the arguments that a module is called with, by place or name.

    Their names are asked for now: where the module is compiled, so is what is returned.
    """
    names = list(signature(module.forward).parameters)

    def first(arguments: tuple, named: dict[str, Any]) -> Any:
        if arguments:
            return arguments[0]
        return next(named[name] for name in (*names, *named) if name in named)

    return first
