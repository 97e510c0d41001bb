"""What the figures of an examined matrix share: its file, its tokens by what is known, its words.

They are drawn of one census.nc, as ``deadtokens examine`` writes it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.figures import style
from deadtokens.figures.columns import numbers, texts
from deadtokens.figures.inputs import only, open_dataset
from deadtokens.figures.style import Stroke

FILE = "census.nc of an examined matrix"
SIZES = ("vocabulary_size", "width", "known_tokens")
OF_A_MATRIX = texts("model", "matrix", "format") | dict.fromkeys(SIZES, "Int64")
AREA = numbers("area", "area_low", "area_high")

KNOWN, REFERENCE, SUSPECT, OTHER = "known unused", "reference", "suspect", "other"
POPULATIONS = {  # each is drawn in a panel with the others alone, so that no dashes are needed
    OTHER: Stroke("#c8c8c8"),
    KNOWN: Stroke("#111111"),
    REFERENCE: Stroke("#2879b5"),
    SUSPECT: Stroke("#e0934d"),
}
INDICATORS = {  # name: words, stroke
    "norm": ("norm of the row", Stroke("#2e0528")),
    "to_mean": ("distance to the mean row", Stroke("#b32a4b", (5, 1.5))),
    "to_reference": ("distance to the reference", Stroke("#e08a4d", (1.5, 1))),
    "cosine": ("1 − cosine to the reference", Stroke("#11421f", (12, 1.5))),
    "cosine_without_mean": ("1 − cosine, mean out", Stroke("#2879b5", (6, 1.5, 1.5, 1.5))),
    "cosine_without_first": ("1 − cosine, 1st component out", Stroke("#69c0e5", (3, 1))),
}
UNITS = {"norm": "weight", "to_mean": "weight", "to_reference": "weight"}  # the others have none


def opener(*variables: str) -> Callable[[Sequence[Path]], list[xr.Dataset]]:
    """Return the function that reads a matrix with these variables."""
    return lambda paths: [open_dataset(path, variables, tuple(OF_A_MATRIX)) for path in paths]


def about(datasets: Sequence[xr.Dataset]) -> tuple[xr.Dataset, dict[str, str | int]]:
    """Return the only matrix, and the columns that say which it is.

    Raises
    ------
    UserError
        If there are several.
    """
    data = only(datasets)
    return data, {name: data.attrs[name] for name in OF_A_MATRIX}


def legend_below(
    figure: Figure, table: pd.DataFrame, entries: Iterable[tuple[object, str]]
) -> None:
    """Put the legend under the panels, and above it whose matrix it is."""
    style.legend_below(figure, entries)
    first = table.iloc[0]
    size = f"{first['vocabulary_size']:,} rows of {first['width']:,} components"
    said = f"{first['model']}: {first['matrix']}, {first['format']}, {size}"
    drawn = style.as_drawn(said, style.CHARACTERS_PER_LINE["experiment"])
    (legend,) = figure.legends
    legend.set_title(drawn, prop={"size": 7})
    legend.get_title().set_color(style.NEUTRAL)
    legend.set_alignment("left")
    style.grow(figure, 1 + drawn.count("\n"))


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
    said = "no interval: one row alone" if np.isnan(low) else f"95 %: {low:.3f} to {high:.3f}"
    return f"area {row['area']:.3f} ({said})"
