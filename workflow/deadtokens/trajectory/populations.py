"""Which tokens of a run are dead, which are live, and which were never sampled.

*Dead* tokens never occur in the training text. Of those that occur, the *live* ones stood in a
batch of the run, as input or as label; the others were *never sampled*: no update has met them,
and the run cannot tell them from dead ones. A recording of another training may lack a census: the
tokens that stood in no batch then are its dead ones. Its census is what its user said of the text:
a token that stood in a batch is not dead, whatever that says.
"""

import numpy as np
import xarray as xr

from deadtokens.errors import NotInRecord, UserError

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
COUNTED = {"long_name": "the token stood in no batch of the run", "units": "1"}  # of no census


def members_of(run: xr.Dataset) -> np.ndarray:
    """Return who belongs to which population of an opened run.

    Returns
    -------
    ndarray of bool, shape (populations, tokens)
        In the order of POPULATIONS; each token belongs to one.

    Raises
    ------
    UserError
        If the record does not say which tokens are dead, or which stood in its batches.
    """
    if "sampled" not in run:
        raise UserError(
            f"run {run.attrs['run']}: its segments do not say which tokens stood in their batches "
            "(variable `sampled`); they are of an older version: train the run again"
        )
    dead, sampled = dead_of(run), run["sampled"].values > 0
    nobody_counted = "recorded" in run.attrs and not sampled.any()
    return partition(dead, ~dead if nobody_counted else sampled)


def dead_of(run: xr.Dataset) -> np.ndarray:
    """Return which tokens of an opened run are dead, bool of shape (tokens,).

    Raises
    ------
    UserError
        If neither a census says so nor was anything counted.
    """
    met = run["sampled"].values > 0 if "sampled" in run else np.zeros(run.sizes["token"], bool)
    if "dead" in run:
        return run["dead"].values.astype(bool) & ~met
    if met.any():
        return ~met
    raise NotInRecord(
        f"run {run.attrs['run']}: which of its tokens are dead is not known: the recorder was "
        "given no `counts`, and has seen no module read tokens; that which holds the weight it "
        "finds by itself, but hears nothing of a model that was in its eval mode, was compiled "
        "before the recorder was made, or looks up the rows itself; give it `counts`, or the "
        "module that reads the tokens as `embedding`"
    )


def with_dead(run: xr.Dataset) -> xr.Dataset:
    """Return an opened run with `dead` as `dead_of` has it, unchanged if that is not known."""
    try:
        dead = dead_of(run)
    except NotInRecord:
        return run
    if "dead" in run:
        return run.assign(dead=run["dead"].copy(data=dead))
    return run.assign(dead=(("token",), dead, COUNTED))


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


def is_told(kind: np.ndarray) -> np.ndarray:
    """Return of which tokens it can be told whether training met them as used ones.

    Of a record not of those that were never sampled: they occur in its text, and no update has met
    them, so that nothing tells them from dead ones. Of a vocabulary of all.

    Parameters
    ----------
    kind : ndarray of str, shape (tokens,)
        Of `matrices.tokens.Tokens`.

    Returns
    -------
    bool ndarray of shape (tokens,)
    """
    return kind != POPULATIONS[NEVER_SAMPLED]
