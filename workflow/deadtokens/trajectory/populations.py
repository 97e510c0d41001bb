"""Which tokens of a run are dead, which are live, and which were never sampled.

*Dead* tokens never occur in the training text. Of those that occur, the *live* ones stood in a
batch of the run, as input or as label; the others were *never sampled*: no update has met them,
and the run cannot tell them from dead ones.
"""

import numpy as np
import xarray as xr

from deadtokens.errors import UserError

POPULATIONS = ("dead", "live", "never sampled")
DEAD, LIVE, NEVER_SAMPLED = range(len(POPULATIONS))


def members_of(run: xr.Dataset) -> np.ndarray:
    """Return who belongs to which population of an opened run.

    Returns
    -------
    ndarray of bool, shape (populations, tokens)
        In the order of POPULATIONS; each token belongs to one.

    Raises
    ------
    UserError
        If the record does not say which tokens stood in its batches.
    """
    if "sampled" not in run:
        raise UserError(
            f"run {run.attrs['run']}: its segments do not say which tokens stood in their batches "
            "(variable `sampled`); they are of an older version: train the run again"
        )
    return partition(run["dead"].values.astype(bool), run["sampled"].values > 0)


def partition(dead: np.ndarray, sampled: np.ndarray) -> np.ndarray:
    """Return the members of POPULATIONS, bool of shape (populations, tokens).

    Parameters
    ----------
    dead, sampled : ndarray of bool, shape (tokens,)
        Who never occurs in the text; who stood in a batch.
    """
    return np.stack([dead, ~dead & sampled, ~dead & ~sampled])


def describe_members(members: np.ndarray) -> xr.Dataset:
    """Return each token's class, and the number of tokens of each, labelled.

    Parameters
    ----------
    members : ndarray of bool, shape (populations, tokens)
    """
    dead, _, never_sampled = members
    variables = {
        "dead": ("token", dead, "the token never occurs in the training text"),
        "never_sampled": (
            "token",
            never_sampled,
            "the token occurs in the training text, but in no batch of the run",
        ),
        "tokens": ("population", members.sum(axis=1), "number of tokens of the population"),
    }
    about = {
        "long_name": "dead: never in the text; live: in a batch of the run; never sampled: others",
        "units": "1",
    }
    return xr.Dataset(
        {
            name: (axis, values, {"long_name": long_name, "units": "1"})
            for name, (axis, values, long_name) in variables.items()
        },
        coords={"population": ("population", list(POPULATIONS), about)},
    )
