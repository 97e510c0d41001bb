"""The columns of the tables from which figures are drawn."""

from collections.abc import Mapping

import pandas as pd

from deadtokens.figures.bins import HIGHEST, LOWEST

NAMES = dict.fromkeys(("group", "regime", "label", "run"), "str")  # what tells runs apart


def in_bins(column: str) -> dict[str, str]:
    """Return the columns of values gathered in bins of updates: see `bins.gathered`."""
    updates = {"update": "int64", "last_update": "Int64"}
    return updates | dict.fromkeys((LOWEST, column, HIGHEST), "float64")


def typed(rows: pd.DataFrame, types: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows with these columns alone, in their order; one that `rows` lacks is empty.

    Parameters
    ----------
    rows : DataFrame
    types : mapping of str to str
        The columns' pandas types by their names.
    """
    return rows.reindex(columns=list(types)).astype(dict(types))
