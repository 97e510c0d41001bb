"""The numbers of ``outcomes.nc`` as tidy tables."""

import numpy as np
import pandas as pd
import xarray as xr

from deadtokens.comparison.intervals import FEWEST
from deadtokens.comparison.labels import OF_CONTRASTS
from deadtokens.comparison.settings import short

SUMMARY = ("pairs", "mean", "low", "high", "bootstrap_low", "bootstrap_high")
NO_INTERVAL = "one seed: no interval"


def outcomes_table(comparison: xr.Dataset) -> pd.DataFrame:
    """Return one row a run and outcome: run, seed, varied keys, outcome, value, unit, reason.

    The seed's column is called ``batch_seed`` where that is the one by which runs are paired.
    """
    runs, outcomes = (comparison[name].values for name in ("run", "outcome"))
    number = len(outcomes)
    seed = comparison.attrs["unit"]
    columns = {"run": np.repeat(runs, number), seed: np.repeat(comparison["seed"], number)}
    columns |= {
        key: np.repeat(comparison["setting"].sel(key=key), number)
        for key in comparison["key"].values
    }
    columns |= {
        "outcome": np.tile(outcomes, len(runs)),
        "value": comparison["value"].values.ravel(),
        "unit": np.tile(comparison["unit"], len(runs)),
        "reason": comparison["reason"].values.ravel(),
    }
    return pd.DataFrame(columns)


def effects_table(comparison: xr.Dataset) -> pd.DataFrame:
    """Return one row a contrast and outcome: what is changed, each seed's number, the summary."""
    number = comparison.sizes["outcome"]
    columns = {name: np.repeat(comparison[name], number) for name in OF_CONTRASTS}
    times = comparison.sizes["contrast"]
    columns |= {name: np.tile(comparison[name], times) for name in ("outcome", "unit")}
    columns |= {name: comparison[name].values.ravel() for name in SUMMARY}
    columns |= {
        f"{short(comparison.attrs['unit'])} {seed}": comparison["difference"]
        .sel(pair=seed)
        .values.ravel()
        for seed in comparison["pair"].values
    }
    table = pd.DataFrame(columns)
    few = (table["pairs"] > 0) & (table["pairs"] < FEWEST)
    return table.assign(note=np.where(few, NO_INTERVAL, ""))
