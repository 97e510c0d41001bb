"""Why dead tokens stand still: the cause for every component that an update left as it was.

The causes and what they mean stand in `deadtokens.analysis.causes`.
"""

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from deadtokens.analysis.causes import CAUSES, Moments, is_odd, name_causes, reaches
from deadtokens.analysis.origin import run_attributes
from deadtokens.errors import UserError
from deadtokens.netcdf import write
from deadtokens.training.device import describe_device
from deadtokens.training.optimizer import hyperparameters, learning_rate
from deadtokens.training.precision import REGIMES
from deadtokens.training.spec import TENSORS, RunSpec, read_spec
from deadtokens.training.update import update_moments_
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.rows import Update, read_updates
from deadtokens.trajectory.segments import Segments
from deadtokens.trajectory.staging import BITS

QUANTILES = (0.05, 0.5, 0.95)
MOMENTS = ("exp_avg", "exp_avg_sq")
SETTINGS = ("precision", "lr", "warmup", "beta1", "beta2", "eps", "weight_decay")
COUNTERFACTUAL = (
    "along the recorded gradients: what one update would have done with exact moments, not what "
    "another training would have become"
)


@dataclass(frozen=True)
class Finding:
    """What one update did to the dead tokens.

    Attributes
    ----------
    still : ndarray of bool, shape (tokens, components)
        Every bit of W is as before.
    cause : ndarray of int, same shape
        Index into `CAUSES`, meaningful where `still`.
    reach : ndarray of float, shape (2, quantiles)
        |exact change| over half an ulp, with the recorded and with exact moments.
    decreased : float
        Fraction of the recorded second moments that became smaller.
    second_moment_ratio : float
        Median of recorded over exact second moment.
    """

    still: np.ndarray
    cause: np.ndarray
    reach: np.ndarray
    decreased: float
    second_moment_ratio: float


def explain_update(update: Update, exact: dict[str, Tensor], spec: RunSpec) -> Finding:
    """Explain one update.

    Parameters
    ----------
    update : Update
        Of at least one token.
    exact : dict of 'exp_avg', 'exp_avg_sq' to float32 Tensor of shape (tokens, components)
        The moments after the update, replayed from the gradients.
    spec : RunSpec
    """
    W, t = update.before["W"], update.number
    recorded, replayed = (
        Moments(*(state[name].double() for name in MOMENTS)) for state in (update.after, exact)
    )
    reach = reaches(W, recorded, replayed, t, learning_rate(spec, t), hyperparameters(spec))
    without_gradient = (update.grad == 0) & (update.before["exp_avg"] == 0)
    return Finding(
        (update.after["W"].view(BITS[W.dtype]) == W.view(BITS[W.dtype])).numpy(),
        name_causes(reach, is_odd(W), without_gradient.numpy()),
        np.stack([quantiles_of(values, QUANTILES) for values in (reach.rr, reach.xx)]),
        float((update.after["exp_avg_sq"] < update.before["exp_avg_sq"]).double().mean()),
        _median_ratio(recorded.second, replayed.second),
    )


def quantiles_of(values: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """Return the smallest values that so large a part of all values does not exceed.

    Each is one of the values: nothing is interpolated, between infinities neither. Sorting is
    several times faster here than numpy's search for three quantiles.
    """
    ordered = np.sort(values, axis=None)
    return ordered[[max(0, math.ceil(part * ordered.size) - 1) for part in quantiles]]


def _median_ratio(recorded: Tensor, exact: Tensor) -> float:
    """Return the median of recorded over exact; equal values, zeros too, have the ratio 1."""
    ratio = torch.where(recorded == exact, 1.0, recorded / exact)
    return float(quantiles_of(ratio.numpy(), [0.5])[0])


class Stillness:
    """What all updates did, gathered one by one.

    Parameters
    ----------
    updates, tokens : int
        How many there are.
    """

    def __init__(self, updates: int, tokens: int):
        self.still = np.zeros(updates, np.int64)
        self.by_cause = np.zeros((updates, len(CAUSES)), np.int64)
        self.by_token = np.zeros((tokens, len(CAUSES)), np.int64)
        self.reach = np.full((updates, 2, len(QUANTILES)), np.nan)
        self.decreased = np.full(updates, np.nan)
        self.second_moment_ratio = np.full(updates, np.nan)

    def add(self, place: int, finding: Finding) -> None:
        """Take in the finding on the update at `place`."""
        kinds = len(CAUSES) + 1  # the last one: moved
        kind = np.where(finding.still, finding.cause, len(CAUSES))
        cells = kind + kinds * np.arange(len(kind))[:, None]
        table = np.bincount(cells.reshape(-1), minlength=kinds * len(kind))
        counts = table.reshape(len(kind), kinds)[:, :-1]
        self.by_token += counts
        self.by_cause[place] = counts.sum(axis=0)
        self.still[place] = counts.sum()
        self.reach[place] = finding.reach
        self.decreased[place] = finding.decreased
        self.second_moment_ratio[place] = finding.second_moment_ratio


def explain_stillness(segments: Segments) -> xr.Dataset:
    """Return why the dead tokens of a run stood still, read update by update.

    Raises
    ------
    UserError
        If one of the four tensors was not recorded.
    """
    run = open_run(segments)
    missing = [name for name in TENSORS if name not in run]
    if missing:
        raise UserError(
            f"run {run.attrs['run']}: why a component stood still takes all four tensors, but "
            f"{', '.join(missing)} was not recorded; add it to `record: tensors:` and train again"
        )
    spec = read_spec(run.attrs["spec"])
    dead = np.flatnonzero(run["dead"].values)
    stillness = Stillness(run.sizes["update"], len(dead))
    differing = _explain_updates(segments, dead, spec, stillness) if len(dead) else 0
    attributes = run_attributes(run) | {name: getattr(spec, name) for name in SETTINGS}
    if REGIMES[spec.precision].moments == "float32":
        attributes |= _verdict(run, differing)
    return label(stillness, run["update"].values, dead, run.sizes["component"]).assign_attrs(
        attributes, counterfactual=COUNTERFACTUAL
    )


def _explain_updates(
    segments: Segments, dead: np.ndarray, spec: RunSpec, stillness: Stillness
) -> int:
    """Gather the findings; return how many replayed moments differ from recorded float32 ones."""
    differing, exact = 0, {}
    for place, update in enumerate(read_updates(segments, dead)):
        exact = exact or {
            name: torch.zeros_like(update.grad, dtype=torch.float32) for name in MOMENTS
        }
        update_moments_(update.grad.float(), *exact.values(), hyperparameters(spec))
        differing += sum(_differing(update.after[name], exact[name]) for name in MOMENTS)
        stillness.add(place, explain_update(update, exact, spec))
    return differing


def _differing(recorded: Tensor, exact: Tensor) -> int:
    """Count the bits patterns that differ where the record is as exact as the replay."""
    if recorded.dtype != exact.dtype or torch.equal(recorded, exact):
        return 0
    return int((recorded.view(torch.int32) != exact.view(torch.int32)).sum())


def _verdict(run: xr.Dataset, differing: int) -> dict[str, Any]:
    """Return how the replay of float32 moments compares with the record."""
    here = describe_device(torch.device("cpu"))
    same_library = f"torch {torch.__version__}," in run.attrs.get("packages", "")
    if differing and same_library and run.attrs["device"] == here:
        raise AssertionError(
            f"{differing} moments replayed from the gradients are not the recorded ones"
        )
    return {"replayed_on": here, "replayed_moments_differing": differing}


def label(
    stillness: Stillness, updates: np.ndarray, dead: np.ndarray, components: int
) -> xr.Dataset:
    """Return what was gathered as a labelled dataset; fractions of nothing are NaN."""
    all_components = np.full(len(updates), len(dead) * components)
    variables = {
        "still_components": (
            ("update",),
            stillness.still,
            "components of dead tokens that the update left bitwise unchanged",
        ),
        "still_fraction": (
            ("update",),
            _over(stillness.still, all_components),
            "the same as a fraction of all components of dead tokens",
        ),
        "cause_fraction": (
            ("update", "cause"),
            _over(stillness.by_cause, stillness.still[:, None]),
            "fraction of the still components with that cause",
        ),
        "cause_total": (
            ("cause",),
            stillness.by_cause.sum(axis=0),
            "still components with that cause over all updates",
        ),
        "token_cause_total": (
            ("token", "cause"),
            stillness.by_token,
            "still components of the token with that cause over all updates",
        ),
        "reach": (
            ("update", "moments", "quantile"),
            stillness.reach,
            "quantiles over dead components of |exact change| over half an ulp of W towards it",
        ),
        "second_moment_decreased": (
            ("update",),
            stillness.decreased,
            "fraction of the dead tokens' recorded second moments that the update made smaller",
        ),
        "second_moment_ratio": (
            ("update",),
            stillness.second_moment_ratio,
            "median over dead components of recorded over exact second moment",
        ),
    }
    return xr.Dataset(
        {name: (dims, values, _about(words)) for name, (dims, values, words) in variables.items()},
        coords={
            "update": ("update", updates, _about("update t takes state t-1 to state t")),
            "cause": ("cause", list(CAUSES), {"long_name": "why the component stood still"}),
            "token": ("token", dead, _about("row of the vocabulary; dead tokens only")),
            "moments": ["recorded", "exact"],
            "quantile": ("quantile", list(QUANTILES), _about("quantile")),
        },
        attrs={"components": components},
    )


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _about(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}


def main(arguments: Sequence[str]) -> None:
    """Run the command ``stillness``."""
    parser = argparse.ArgumentParser(prog="deadtokens stillness", description=__doc__)
    parser.add_argument("segments", type=Path, nargs="+", help="segments of the run, in order")
    parser.add_argument("--output", type=Path, required=True, help="NetCDF file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the other cores inflate what comes next
    stillness = explain_stillness(options.segments)
    write(stillness, options.output)
    totals = stillness.cause_total.to_series().sort_values(ascending=False)
    shares = totals[totals > 0] / totals.sum()
    words = ", ".join(f"{cause} {share:.1%}" for cause, share in shares.items())
    logging.getLogger(__name__).info(
        f"stillness {stillness.attrs['run']}: {totals.sum():,} times a component of a dead token "
        f"stood still{': ' + words if words else ''}"
    )


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
