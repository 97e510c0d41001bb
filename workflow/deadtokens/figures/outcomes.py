"""What the runs of an experiment come to, every seed shown.

A panel for the primary outcome, which was named before any run was compared, and one for each of a
few secondary ones; a row a setting. A dot is a run, its colour the seed; runs of one seed share
their initial weights and batches as far as the settings leave them alone. Below the dots the
diamond is the mean over the seeds, the bar its 95 % interval by Student's t, for each setting
alone: it knows no bounds, so that of a fraction it can reach beyond 1. An open diamond is the mean
of fewer seeds than the experiment has. One seed has no interval. Runs without a number, as one half
of whose tokens never settled, stand hollow in the strip at the right, and the legend says why;
their setting then has no mean. A cross is a run that diverged. All other outcomes stand in the
experiment's outcomes.csv.
"""

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from deadtokens.figures import marks, seeds, style
from deadtokens.figures.columns import texts
from deadtokens.figures.seeds import RUN
from deadtokens.figures.strips import Strips

TYPES = seeds.OUTCOME | texts("name") | seeds.VALUES


def _table(data: xr.Dataset) -> pd.DataFrame:
    runs = seeds.of_runs(data, seeds.shown(data), name=data["group"].values)
    return seeds.with_means(runs, ["name"])


def _draw(table: pd.DataFrame) -> Figure:
    figure = Strips(RUN).draw(table)
    entries = marks.entries_of_seeds(seeds.by_seed(table))
    style.legend_below(figure, [*entries, *marks.entries_of_missing(table)])
    return figure


RECIPE = seeds.recipe("outcomes", "What the runs come to", types=TYPES, table=_table, draw=_draw)
