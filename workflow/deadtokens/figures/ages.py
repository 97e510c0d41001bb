"""How old the gradients are that move the cloud of dead tokens.

Momentum is old gradients: the first moment is unrolled exactly into the gradients of which it is
the average, and what each age adds to the update of the centroid is projected on the centroid's
displacement and summed over a range of updates. A bar is one high in all: what pushes along the
displacement stands above zero, what pulls back below. The black line is what remains: the update
that the gradients, present and past, ask for. The recorded moment is rounded itself, and what that
adds is a part of its own. The strip names, by its colour, the part that pushes most, and its share
of what remains. "At rest": the centroid did not move at all. Runs that differ only in their seed
are summed up. Weight decay and the rounding of the weights are not in this figure.
"""

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
