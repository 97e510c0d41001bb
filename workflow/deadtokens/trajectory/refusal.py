"""What an analysis makes of a recording of which it can say nothing: the sentence that says why."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import xarray as xr

from deadtokens.errors import NotInRecord
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import Segments

Result = TypeVar("Result")
LEFT_OUT, NOTHING = "left_out", "nothing"

log = logging.getLogger(__name__)


def without_variables(about: dict[str, Any]) -> xr.Dataset:
    """Return a dataset of attributes alone."""
    return xr.Dataset(attrs=about)


def or_why_not(
    analysis: Callable[[Segments], Result],
    segments: Segments,
    empty: Callable[[dict[str, Any]], Result],
) -> Result:
    """Return what an analysis finds or, of a recording that lacks what it takes, why nothing.

    Of a run of a study, which says beforehand what it records, a refusal stays one.

    Parameters
    ----------
    analysis : callable
    segments : path or sequence of paths
    empty : callable
        Makes a result of attributes alone: what run it is of, `LEFT_OUT` and `NOTHING`.
    """
    try:
        return analysis(segments)
    except NotInRecord as error:
        run = open_run(segments, check=False)
        if "recorded" not in run.attrs:
            raise
        log.info("nothing can be said: %s", error)
        return empty(run_attributes(run) | {LEFT_OUT: str(error), NOTHING: 1})
