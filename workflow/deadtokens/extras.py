"""Packages that not everybody needs, and in which words one of them is missed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from deadtokens.errors import UserError


class Extra(NamedTuple):
    """An extra of the package: who needs it, and the modules by which it is missed."""

    of: str
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
        missing = (error.name or "").partition(".")[0]
        for name, extra in EXTRAS.items():
            if missing in extra.modules:
                raise UserError(
                    f"{extra.of} {missing}, which is not installed: "
                    f"pip install 'deadtokens[{name}]'"
                ) from None
        raise
