"""Figure: which term of the update moves the cloud of dead tokens, by ranges of updates."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.figures import bands, command, style
from deadtokens.figures.runs import open_runs

PARTS = {
    "momentum": ("#1f3f77", "momentum (past gradients)"),
    "present": ("#6fb3e0", "present gradient"),
    "decay": ("#e8b04a", "weight decay"),
    "rounding": ("#b0304f", "rounding"),
}
TYPES = bands.TYPES


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn; see `bands.table`.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's attribution each.
    """
    return bands.table(datasets, "centroid_share", PARTS, of_all=True)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    return bands.draw(
        table,
        PARTS,
        "part of what acts along\nthe centroid's displacement",
        "what remains: the displacement",
    )


RECIPE = command.Recipe(
    name="shares",
    title="What moves the cloud of dead tokens",
    inputs="attribution.nc of each run of the experiment",
    open=lambda paths: open_runs(paths, ["centroid_share", "term", *bands.NEEDED]),
    table=table,
    draw=draw,
)
