"""What the figures of an examined matrix share: its file, its tokens by what is known, its words.

They are drawn of one census.nc, as ``deadtokens examine`` writes it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from deadtokens.figures import style
from deadtokens.figures.columns import numbers, texts
from deadtokens.figures.inputs import only, open_dataset
from deadtokens.figures.style import Stroke

FILE = "census.nc of an examined matrix"
NAMES = ("model", "matrix")  # what tells whose matrix it is
ATTRIBUTES = (*NAMES, "known_tokens", "vocabulary_size", "width", "format")
OF_A_MATRIX = texts(*NAMES, "format") | dict.fromkeys(("vocabulary_size", "width"), "Int64")
AREA = numbers("area", "area_low", "area_high")

KNOWN, REFERENCE, SUSPECT, OTHER = "known unused", "reference", "suspect", "other"
POPULATIONS = {
    OTHER: Stroke("#c8c8c8"),
    SUSPECT: Stroke("#e0934d", (1.5, 1)),
    REFERENCE: Stroke("#2879b5", (5, 1.5)),
    KNOWN: Stroke("#111111", (8, 1)),
}
INDICATORS = {  # name: words, stroke
    "norm": ("norm of the row", Stroke("#2e0528")),
    "to_mean": ("distance to the mean row", Stroke("#b32a4b", (5, 1.5))),
    "to_reference": ("distance to the reference", Stroke("#e08a4d", (1.5, 1))),
    "cosine": ("1 − cosine to the reference", Stroke("#11421f", (12, 1.5))),
    "cosine_without_mean": ("1 − cosine, without the mean", Stroke("#2879b5", (6, 1.5, 1.5, 1.5))),
    "cosine_without_first": (
        "1 − cosine, without the first component",
        Stroke("#69c0e5", (3, 1)),
    ),
}
UNITS = {"norm": "weight", "to_mean": "weight", "to_reference": "weight"}  # the others have none


def opener(*variables: str) -> Callable[[Sequence[Path]], list[xr.Dataset]]:
    """Return the function that reads a matrix with these variables."""
    return lambda paths: [open_dataset(path, variables, ATTRIBUTES) for path in paths]


def about(datasets: Sequence[xr.Dataset]) -> tuple[xr.Dataset, dict[str, str | int]]:
    """Return the only matrix, and the columns that say which it is.

    Raises
    ------
    UserError
        If there are several.
    """
    data = only(datasets)
    return data, {name: data.attrs[name] for name in OF_A_MATRIX}


def title(table: pd.DataFrame) -> str:
    """Write whose matrix it is, as it is drawn."""
    first = table.iloc[0]
    size = f"{first['vocabulary_size']:,} rows of {first['width']:,}"
    said = f"{first['model']}: {first['matrix']}, {first['format']}, {size}"
    return style.as_drawn(said, style.CHARACTERS_PER_LINE["title"])


def is_known(data: xr.Dataset) -> bool:
    """Return whether some tokens are known to be unused."""
    return bool(data["known"].values.any())


def binned(values: np.ndarray, bins: int) -> np.ndarray:
    """Return the edges of so many even bins that hold all finite values."""
    return np.histogram_bin_edges(values[np.isfinite(values)].astype(np.float64), bins)


def written_area(row: Mapping[str, float]) -> str:
    """Write the area under a ROC curve with its interval."""
    if np.isnan(row["area"]):
        return "no area"
    low, high = row["area_low"], row["area_high"]
    return f"area {row['area']:.3f} (95 %: {low:.3f} to {high:.3f})"
