"""Which term of the update moves the cloud of dead tokens, by ranges of updates.

The displacement of the dead tokens' centroid by each update is the sum of four terms: the present
gradient, momentum (past gradients), weight decay and rounding. Each is projected on the
displacement itself and summed over a range of updates. A bar is one high in all: what pushes along
the displacement stands above zero, what pulls back below, and the black line is what remains, the
displacement. The strip names, by its colour, the term that pushes most, and its share of the
displacement: more than 100 % where another term takes a part back, several times the displacement
(×) where rounding takes back most of it. "At rest": the centroid did not move at all. Runs that
differ only in their seed are summed up. The figure says which term of the optimizer's formula moved
the cloud along the recorded gradients, not what would have happened without that term.
"""

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
