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
# Name: axes, long name, unit.
MEMBERS = {
    "dead": (("token",), "the token never occurs in the training text", "1"),
    "never_sampled": (
        ("token",),
        "the token occurs in the training text, but in no batch of the run",
        "1",
    ),
    "tokens": (("population",), "number of tokens of the population", "1"),
}


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


def describe_members(members: np.ndarray) -> dict[str, np.ndarray]:
    """Return each token's class, the number of tokens of each, and their names: see `MEMBERS`.

    Parameters
    ----------
    members : ndarray of bool, shape (populations, tokens)
    """
    dead, _, never_sampled = members
    return {
        "dead": dead,
        "never_sampled": never_sampled,
        "tokens": members.sum(axis=1),
        "population": np.array(POPULATIONS),
    }
