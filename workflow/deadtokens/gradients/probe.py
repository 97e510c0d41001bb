"""Probes: at chosen updates of a run, every formula of the gradient beside what autograd gave."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from deadtokens.gradients.checks import CHECKS, TOLERANCES, check_pass, relative_errors, row_norm
from deadtokens.gradients.sides import SIDES, Pass, run_pass
from deadtokens.gradients.states import Moment
from deadtokens.gradients.temperature import temperature
from deadtokens.run.bits import bits_of
from deadtokens.run.clipping import clip_scale
from deadtokens.run.spec import RunSpec, w_name
from deadtokens.training.batches import read_batch
from deadtokens.trajectory.parts import load_steps
from deadtokens.trajectory.populations import DEAD, LIVE, POPULATIONS
from deadtokens.trajectory.segments import Segments

QUANTITIES = {
    "probe_loss": ("cross-entropy of the update's batch", "nat"),
    "entropy": ("entropy of the prediction, mean over positions", "nat"),
    "top_probability": ("probability of the most probable token, mean over positions", "1"),
    "temperature": (
        "1 / (standard deviation of the logits over all tokens), geometric mean over positions",
        "1",
    ),
    "live_temperature": ("the same with the standard deviation over live tokens alone", "1"),
    "output_error": ("|output side - mean((p - y) h)| / |mean((p - y) h)|", "1"),
    "output_sum": ("|sum of the output side over tokens| / sum of its rows' norms", "1"),
    "whole_sum": ("the same of the whole gradient of W", "1"),
    "grad_differing": ("values of the recorded gradient that differ in a bit", "1"),
    "grad_difference": ("largest difference to the recorded gradient, over its largest", "1"),
    "W_differing": ("values of the recorded W before the update that differ in a bit", "1"),
}


def probe_run(
    segments: Segments,
    spec: RunSpec,
    stream: np.ndarray,
    members: np.ndarray,
    moments: Iterator[Moment],
    recorded: xr.Dataset,
) -> xr.Dataset:
    """Return the probes of a run at the given moments.

    Parameters
    ----------
    segments : path or sequence of paths
    spec : RunSpec
    stream : int32 ndarray of shape (tokens,)
    members : bool ndarray of shape (populations, vocabulary)
    moments : iterator of Moment
        In any order. One whose loss is not finite is left out.
    recorded : Dataset
        The run, opened: its updates, and ``grad_norm`` for clipping.
    """
    rows = torch.from_numpy(members)
    # Each in a call of its own: its logits are gone before the next moment is trained to.
    found = filter(None, (_probe(spec, stream, rows, moment) for moment in moments))
    probes = sorted(found, key=attrgetter("update"))
    _compare_weights(probes, segments)
    _compare_gradients(probes, segments, spec, recorded)
    return _label(probes)


@dataclass(frozen=True)
class Probe:
    """What is found before one update.

    Attributes
    ----------
    update : int
    W, grad : Tensor of shape (vocabulary, width)
        As computed; the gradient before clipping.
    values : dict
        By the names of the variables.
    """

    update: int
    W: Tensor
    grad: Tensor
    values: dict[str, Any]


def _probe(spec: RunSpec, stream: np.ndarray, members: Tensor, moment: Moment) -> Probe | None:
    """Return what is found at one moment, None if its loss is not finite."""
    batch = read_batch(stream, spec.batch, spec.context, spec.seed, moment.update)
    inputs, targets = map(torch.from_numpy, batch)
    one = run_pass(spec, moment.weights, inputs, targets)
    if not math.isfinite(one.loss):
        return None
    W = moment.weights[w_name(spec)]
    return Probe(moment.update, W, one.grad, examine(one, inputs, members))


def examine(one: Pass, inputs: Tensor, members: Tensor) -> dict[str, Any]:
    """Return what a single pass says: checks, norms of both sides, sharpness of the softmax."""
    deviations, said = check_pass(one, inputs, members[DEAD])
    sides = (one.input_side, one.output_side)
    return {
        "probe_loss": one.loss,
        "entropy": said.entropy,
        "top_probability": said.top_probability,
        "temperature": temperature(one.logits, torch.ones_like(members[DEAD])),
        "live_temperature": temperature(one.logits, members[LIVE]),
        **relative_errors(one, said),
        "deviation": list(deviations.values()),
        "side_norm": [[row_norm(side, rows) for side in sides] for rows in members],
    }


def _compare_weights(probes: Sequence[Probe], segments: Segments) -> None:
    """Compare W before each update with the record's bits."""
    recorded = load_steps(segments, "W", [probe.update - 1 for probe in probes])
    for probe, W in zip(probes, map(torch.from_numpy, recorded), strict=True):
        probe.values["W_differing"] = _differing(probe.W, W)


def _compare_gradients(
    probes: Sequence[Probe], segments: Segments, spec: RunSpec, run: xr.Dataset
) -> None:
    """Compare each gradient with the record; NaN where the run has none of that update."""
    for probe in probes:
        probe.values.update(grad_differing=math.nan, grad_difference=math.nan)
    taken = [probe for probe in probes if probe.update <= run.sizes["update"]]
    recorded = load_steps(segments, "grad", [probe.update - 1 for probe in taken])
    for probe, grad in zip(taken, map(torch.from_numpy, recorded), strict=True):
        norm = torch.from_numpy(run["grad_norm"].sel(update=probe.update).values)
        clipped = clip(probe.grad, norm, spec)
        off, largest = float((clipped.double() - grad).abs().max()), float(grad.abs().max())
        probe.values["grad_differing"] = _differing(clipped, grad)
        probe.values["grad_difference"] = off / largest if largest else math.nan


def clip(grad: Tensor, norm: Tensor, spec: RunSpec) -> Tensor:
    """Return the gradient as the update consumed it, `norm` being the whole model's."""
    return grad * clip_scale(norm, spec.clip).to(grad.dtype)


def _differing(computed: Tensor, recorded: Tensor) -> float:
    return float((bits_of(computed.float()) != bits_of(recorded)).sum())


def _label(probes: Sequence[Probe]) -> xr.Dataset:
    def variable(name: str, dims: tuple[str, ...], extent: tuple[int, ...], about: dict) -> tuple:
        values = np.array([probe.values[name] for probe in probes], np.float64)
        return ("probe", *dims), values.reshape(len(probes), *extent), about

    variables = {
        name: variable(name, (), (), {"long_name": long_name, "units": units})
        for name, (long_name, units) in QUANTITIES.items()
    }
    about_check = "; ".join(f"{name}: {text}" for name, text in CHECKS.items())
    about_side = (
        "norm of a row's gradient by way of one side, before clipping, root mean square over tokens"
    )
    extent = (len(POPULATIONS), len(SIDES))
    variables |= {
        "deviation": variable(
            "deviation", ("check",), (len(CHECKS),), {"long_name": about_check, "units": "1"}
        ),
        "side_norm": variable(
            "side_norm", ("population", "side"), extent, {"long_name": about_side, "units": "nat"}
        ),
    }
    tolerances = [TOLERANCES[name] for name in CHECKS]
    about = {"long_name": "largest deviation with which a check holds", "units": "1"}
    about_probe = {"long_name": "update whose batch and weights are probed", "units": "1"}
    updates = np.array([probe.update for probe in probes], np.int64)
    return xr.Dataset(
        variables | {"tolerance": ("check", tolerances, about)},
        {
            "probe": ("probe", updates, about_probe),
            "check": list(CHECKS),
            "population": list(POPULATIONS),
            "side": list(SIDES),
        },
    )
