"""What a derived file says of the run behind it."""

from typing import Any

import numpy as np
import xarray as xr

from deadtokens.trajectory.segments import MADE

CARRIED = ("run", "spec", "recorded", "every", "status", "diverged_at", *MADE)


def run_attributes(run: xr.Dataset) -> dict[str, Any]:
    """Return the attributes of an opened run that every derived file carries."""
    own = {name: run.attrs[name] for name in CARRIED if name in run.attrs}
    if "diverged_at" in own:
        own["diverged_at"] = int(own["diverged_at"])  # HDF5 gives a numpy scalar
    return own | {
        "vocabulary_size": vocabulary_size(run),
        "updates": _updates(run["state"].values),
    }


def vocabulary_size(run: xr.Dataset) -> int:
    """Return how many rows W has, of which an opened run may have recorded some."""
    return int(run.attrs.get("vocabulary_size", run.sizes["token"]))


def _updates(states: np.ndarray) -> int:
    """Return how many updates lie between the first and the last state, recorded or not."""
    return int(states[-1] - states[0]) if len(states) else 0
