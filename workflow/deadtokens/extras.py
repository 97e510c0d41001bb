"""Packages that not everybody needs, and in which words one of them is missed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from deadtokens.errors import UserError


class Extra(NamedTuple):
    """An extra of the package: who needs it, and the modules by which it is missed."""

    who_needs: str
    modules: tuple[str, ...]


# Pillow comes with matplotlib: who lacks it alone wants the paper.
EXTRAS = {
    "figures": Extra("figures need", ("matplotlib", "seaborn")),
    "paper": Extra("the paper needs", ("PIL", "typst")),
    "workflow": Extra("the workflow needs", ("fontTools", "snakemake", "tokenizers", "yaml")),
    "adapters": Extra("adapters need", ("accelerate", "lightning", "transformers")),
}


@contextmanager
def told_by_name() -> Iterator[None]:
    """Say which extra to install if a module of one cannot be found within.

    Raises
    ------
    UserError
        If it is so.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing(error.name or "") or error from None


def missing(module: str) -> UserError | None:
    """Return what says that a module is not installed, None if it is of no extra."""
    name = module.partition(".")[0]
    for extra, (who_needs, modules) in EXTRAS.items():
        if name in modules:
            return UserError(
                f"{who_needs} {name}, which is not installed: pip install 'deadtokens[{extra}]'"
            )
    return None
