"""What moved each token: gradient, momentum, decay or rounding, and how old the gradients were.

Every recorded displacement W[t] - W[t - 1] is a sum of four terms (`attribution.terms`); rounding,
which is what the other three leave, is held against a bound of its own (`attribution.bound`).
"""

import logging
from argparse import ArgumentParser, Namespace

import torch
import xarray as xr

from deadtokens.arguments import add_output, add_run
from deadtokens.attribution.accumulator import Accumulator
from deadtokens.attribution.summary import summarise
from deadtokens.errors import NotInRecord
from deadtokens.netcdf import write
from deadtokens.run.rule import Rule
from deadtokens.trajectory.optional import left_out
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.refusal import NOTHING, or_why_not, without_variables
from deadtokens.trajectory.rule import rule_of_run
from deadtokens.trajectory.segments import Segments, check_every_update
from deadtokens.trajectory.tiles import read_tiles


def attribute_motion(segments: Segments) -> xr.Dataset:
    """Return what moved the tokens of a run: gradient, momentum, decay or rounding.

    Parameters
    ----------
    segments : path or sequence of paths
        The folder of a recording, or its segments in order.

    Returns
    -------
    Dataset
        Of every update, by population and term: ``centroid_share`` in the centroid's displacement,
        ``share_quantile`` over its tokens, ``cumulated_share``; ``centroid_age_share`` by the age
        of the gradients; ``closure`` and ``bound_ratio``, by which the terms are checked. A share
        is <part, displacement> / <displacement, displacement>, NaN at rest. The table is
        `deadtokens.attribution.labels`.

    Raises
    ------
    UserError
        If one of the tensors of an update was not recorded, the optimizer's update is not known, or
        a rounding term exceeds its bound.

    Examples
    --------
    >>> motion = attribute_motion("recorded/mine")
    >>> motion.centroid_share.sel(population="dead", term="momentum")  # (update,)
    """
    run = open_run(segments)
    check_every_update(run, "the attribution")
    rule = rule_of_run(run)
    missing = [name for name in rule.tensors if name not in run]
    if missing:
        raise NotInRecord(
            f"run {run.attrs['run']}: without recorded {', '.join(missing)} its motion cannot "
            f"be attributed; record {', '.join(rule.tensors)}"
        )
    accumulator = Accumulator(run, rule)
    for tile in read_tiles(segments):
        accumulator.add(tile)
        del tile  # before the one after the next is read
    about = run_attributes(run) | checks(accumulator) | cautions(run, rule)
    about |= {"beta1": rule.fixed.beta1, "updates_before": rule.before}
    return summarise(accumulator).assign_attrs(about)


def cautions(run: xr.Dataset, rule: Rule) -> dict[str, str]:
    """Return the attributes that say what of the terms is otherwise in a run than in most."""
    said = {}
    if missing := left_out(run, h_mean="cosines against h_mean"):
        said["left_out"] = missing
    if "compensation" in rule.states:
        said["rounding_includes"] = (
            "c[t - 1] - c[t], what the update took out of the compensation of W less what it left "
            "there; the bound is of the rest"
        )
    if "exp_avg" not in rule.states:
        said["momentum"] = "none: the run's optimizer remembers no gradient"
    return said


def checks(accumulator: Accumulator) -> dict[str, float | int]:
    """Return the attributes that say how the terms were checked."""
    over_tokens, displacements = accumulator.over_tokens, accumulator.net_displacement.size
    not_finite = int(over_tokens.not_finite.sum())
    attributes = {
        "values_checked": len(accumulator.closure) * displacements - not_finite,
        "values_not_finite": not_finite,
        "worst_closure": float(accumulator.closure.max(initial=0.0)),
        "worst_bound_ratio": float(over_tokens.bound_ratio.max(initial=0.0)),
    }
    if attributes["worst_bound_ratio"]:
        place = int(over_tokens.bound_ratio.argmax())
        token, component = accumulator.place_of(place)
        names = ("update", "token", "component")
        largest = zip(names, (place + 1, token, component), strict=True)
        attributes |= {f"worst_bound_{name}": value for name, value in largest}
    return attributes


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_run(parser)
    add_output(parser)


def main(options: Namespace) -> None:
    """Run the command ``attribution``."""
    torch.set_num_threads(1)  # the other cores inflate what comes next
    motion = or_why_not(attribute_motion, options.segments, without_variables)
    write(motion, options.output)
    if NOTHING in motion.attrs:
        return
    logging.getLogger(__name__).info(
        f"attribution {motion.attrs['run']}: {motion.attrs['values_checked']:,} displacements are "
        f"the sum of their terms; rounding reaches {motion.attrs['worst_bound_ratio']:.3f} of its "
        "bound"
    )
