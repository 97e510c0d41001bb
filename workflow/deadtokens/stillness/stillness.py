"""Why dead tokens stand still: the cause for every component that an update left as it was.

The causes and what they mean stand in `deadtokens.stillness.causes`.
"""

import logging
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from deadtokens.arguments import add_output, add_run
from deadtokens.errors import NotInRecord
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.run.compiled_update import replay_moments_
from deadtokens.run.device import describe_device
from deadtokens.run.rule import Rule
from deadtokens.stillness.causes import CAUSES, COMBINATIONS, HOLDERS
from deadtokens.stillness.findings import QUANTILES, Finding, Stillness, explain_update
from deadtokens.trajectory.ahead import ahead
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.populations import dead_of
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.refusal import NOTHING, or_why_not, without_variables
from deadtokens.trajectory.rule import rule_of_run
from deadtokens.trajectory.segments import Segments, check_every_update
from deadtokens.trajectory.updates import Update, read_updates

AHEAD = 8  # updates being explained at a time
NOT_EXCEEDED = "the smallest value that so large a part of them does not exceed"
COUNTERFACTUAL = (
    "along the recorded gradients: what one update would have done with exact moments, not what "
    "another training would have become"
)

# Name: axes, long name, unit.
VARIABLES = {
    "still_components": (
        ("update",),
        "components of dead tokens that the update left bitwise unchanged",
        "1",
    ),
    "still_fraction": (
        ("update",),
        "the same as a fraction of all components of dead tokens",
        "1",
    ),
    "cause_fraction": (
        ("update", "cause"),
        "fraction of the still components with that cause",
        "1",
    ),
    "cause_total": (("cause",), "still components with that cause over all updates", "1"),
    "token_cause_total": (
        ("token", "cause"),
        "still components of the token with that cause over all updates",
        "1",
    ),
    "holder_fraction": (
        ("update", "holder"),
        "fraction of the still components that these formats alone would have kept still, whatever "
        "others do",
        "1",
    ),
    "holder_total": (("holder",), "such components over all updates", "1"),
    "combination_total": (
        ("combination",),
        "still components over all updates, by all holders that would have kept them still",
        "1",
    ),
    "reach": (
        ("update", "moments", "quantile"),
        "quantiles over dead components of |exact change|, with what a compensation holds, over "
        "half an ulp of W towards it",
        "1",
    ),
    "second_moment_decreased": (
        ("update",),
        "fraction of the dead tokens' recorded second moments that the update made smaller",
        "1",
    ),
    "second_moment_ratio": (
        ("update",),
        f"median over dead components of recorded over exact second moment: {NOT_EXCEEDED}",
        "1",
    ),
}
# Name: long name, unit; names have none.
COORDINATES = {
    "cause": ("why the component stood still",),
    "holder": ("whose formats, all other numbers exact; without an order",),
    "combination": ("of holders",),
    "token": ("row of the vocabulary; dead tokens only", "1"),
    "moments": (),
    "quantile": (f"over components: {NOT_EXCEEDED}", "1"),
}


def explain_stillness(segments: Segments) -> xr.Dataset:
    """Return why the dead tokens of a run stood still, component by component.

    Parameters
    ----------
    segments : path or sequence of paths
        The folder of a recording, or its segments in order. They are read update by update.

    Returns
    -------
    Dataset
        `VARIABLES`: ``still_fraction`` of the dead tokens' components, ``cause_fraction`` of every
        update by cause (`deadtokens.stillness.causes` says what each means), ``cause_total``,
        ``token_cause_total``, ``reach``.

    Raises
    ------
    UserError
        If one of the tensors of an update was not recorded, the optimizer's update is not known, or
        which tokens are dead is not known.

    Examples
    --------
    >>> stillness = explain_stillness("recorded/mine")
    >>> stillness.cause_total.to_series() / stillness.cause_total.sum().item()
    """
    run = open_run(segments)
    check_every_update(run, "the search for causes")
    rule = rule_of_run(run)
    missing = [name for name in rule.tensors if name not in run]
    if missing:
        raise NotInRecord(
            f"run {run.attrs['run']}: why a component stood still takes "
            f"{', '.join(rule.tensors)}, but {', '.join(missing)} was not recorded; add it to "
            "`record: tensors:` and train again"
        )
    dead = np.flatnonzero(dead_of(run))
    stillness = Stillness(run.sizes["update"], len(dead))
    for place, finding in enumerate(_findings(segments, dead, rule) if len(dead) else ()):
        stillness.add(place, finding)
    attributes = run_attributes(run)
    if all(rule.states[name] == "float32" for name in rule.moments):
        attributes |= _verdict(run, stillness.differing)
    components = run.sizes["component"]
    tokens = run["token"].values[dead]
    values = {"update": run["update"].values, **describe(stillness, tokens, components)}
    about = {"components": components} | attributes | {"counterfactual": COUNTERFACTUAL}
    return label(values, VARIABLES, COORDINATES).assign_attrs(about)


def _findings(segments: Segments, dead: np.ndarray, rule: Rule) -> Iterator[Finding]:
    """Yield the finding on each update.

    The moments are replayed one update after the other; the updates are explained in parallel.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from ahead(_begun(segments, dead, rule, pool), AHEAD)


def _begun(
    segments: Segments, dead: np.ndarray, rule: Rule, pool: ThreadPoolExecutor
) -> Iterator[Callable[[], Finding]]:
    """Begin to explain one update after the other; yield what waits for each finding."""
    exact: dict[str, Tensor] = {}
    for update in read_updates(segments, dead):
        exact = _replayed(update, exact, rule)
        yield pool.submit(explain_update, update, exact, rule).result


def _replayed(update: Update, before: dict[str, Tensor], rule: Rule) -> dict[str, Tensor]:
    """Return the exact moments after an update; they start as the recorded ones do."""
    before = before or {name: update.before[name].float() for name in rule.moments}
    after, step = {name: one.clone() for name, one in before.items()}, rule.step(update.number)
    shared = update.rounding, update.grad_sq_mean
    replay_moments_(after, update.grad.float(), step.t, step.hyper, *shared)
    return after


def _verdict(run: xr.Dataset, differing: int) -> dict[str, Any]:
    """Return how the replay of float32 moments compares with the record."""
    here = describe_device(torch.device("cpu"))
    same_library = f"torch {torch.__version__}," in run.attrs.get("packages", "")
    ours = "recorded" not in run.attrs  # another training's optimizer may round elsewhere
    if differing and ours and same_library and run.attrs["device"] == here:
        raise AssertionError(
            f"{differing} moments replayed from the gradients are not the recorded ones"
        )
    return {"replayed_on": here, "replayed_moments_differing": differing}


def describe(stillness: Stillness, dead: np.ndarray, components: int) -> dict[str, np.ndarray]:
    """Return what was gathered, `VARIABLES`; fractions of nothing are NaN."""
    all_components = np.full(len(stillness.still), len(dead) * components)
    by_holder = np.stack(
        [stillness.by_combination[:, chosen].sum(axis=1) for chosen in _combinations_with()], axis=1
    )
    return {
        "still_components": stillness.still,
        "still_fraction": _over(stillness.still, all_components),
        "cause_fraction": _over(stillness.by_cause, stillness.still[:, None]),
        "cause_total": stillness.by_cause.sum(axis=0),
        "token_cause_total": stillness.by_token,
        "holder_fraction": _over(by_holder, stillness.still[:, None]),
        "holder_total": by_holder.sum(axis=0),
        "combination_total": stillness.by_combination.sum(axis=0),
        "reach": stillness.reach,
        "second_moment_decreased": stillness.decreased,
        "second_moment_ratio": stillness.second_moment_ratio,
        "token": dead,
        "cause": list(CAUSES),
        "holder": list(HOLDERS),
        "combination": list(COMBINATIONS),
        "moments": ["recorded", "exact"],
        "quantile": list(QUANTILES),
    }


def _combinations_with() -> Iterator[np.ndarray]:
    """Yield for each of `HOLDERS` which `COMBINATIONS` have it, bool."""
    bits = np.arange(len(COMBINATIONS))
    for place in range(len(HOLDERS)):
        yield bits >> place & 1 == 1


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_run(parser)
    add_output(parser)


def main(options: Namespace) -> None:
    """Run the command ``stillness``."""
    torch.set_num_threads(1)  # the other cores inflate what comes next
    stillness = or_why_not(explain_stillness, options.segments, without_variables)
    write(stillness, options.output)
    if NOTHING in stillness.attrs:
        return
    totals = stillness.cause_total.to_series().sort_values(ascending=False)
    shares = totals[totals > 0] / totals.sum()
    words = ", ".join(f"{cause} {share:.1%}" for cause, share in shares.items())
    logging.getLogger(__name__).info(
        f"stillness {stillness.attrs['run']}: {totals.sum():,} times a component of a dead token "
        f"stood still{': ' + words if words else ''}"
    )
