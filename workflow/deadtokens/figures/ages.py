"""Figure: how old the gradients are that move the cloud of dead tokens."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.figures import bands, command, style
from deadtokens.figures.runs import open_runs

PARTS = {
    "0": ("#6fb3e0", "gradient of the update itself"),
    "1-9": ("#1f3f77", "1 to 9 updates old"),
    "10-99": ("#5a4b8a", "10 to 99 updates old"),
    ">=100": ("#a58bc7", "100 or more updates old"),
    "rounding of the moment": ("#b0304f", "rounding of the first moment"),
}
TYPES = bands.TYPES


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn; see `bands.table`. Shares are of the intended motion.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's attribution each.
    """
    return bands.table(datasets, "centroid_age_share", PARTS, of_all=False)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    return bands.draw(
        table,
        PARTS,
        "part of what gradients do along\nthe centroid's displacement",
        "what remains: past + present",
    )


RECIPE = command.Recipe(
    name="ages",
    title="Age of the gradients behind the drift of dead tokens",
    inputs="attribution.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, ["centroid_age_share", "age", *bands.NEEDED]),
    table=table,
    draw=draw,
)
