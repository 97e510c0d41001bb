"""The columns of the tables from which figures are drawn."""

from collections.abc import Mapping

import pandas as pd

from deadtokens.figures.bins import HIGHEST, LOWEST

NAMES = dict.fromkeys(("group", "regime", "label", "run"), "str")  # what tells runs apart


def texts(*columns: str) -> dict[str, str]:
    """Return columns of text."""
    return dict.fromkeys(columns, "str")


def numbers(*columns: str) -> dict[str, str]:
    """Return columns of real numbers."""
    return dict.fromkeys(columns, "float64")


TOKENS, DIVERGED_AT = {"tokens": "Int64"}, {"diverged_at": "Int64"}
BIN = {"update": "int64", "last_update": "Int64"}


def in_bins(column: str) -> dict[str, str]:
    """Return the columns of values gathered in bins of updates: see `bins.gathered`."""
    return BIN | numbers(LOWEST, column, HIGHEST)


def typed(rows: pd.DataFrame, types: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows with these columns alone, in their order; one that `rows` lacks is empty.

    Parameters
    ----------
    rows : DataFrame
    types : mapping of str to str
        The columns' pandas types by their names.
    """
    return rows.reindex(columns=list(types)).astype(dict(types))
