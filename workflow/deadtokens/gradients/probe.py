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
from deadtokens.labels import label
from deadtokens.run.bits import bits_of
from deadtokens.run.clipping import clip_scale
from deadtokens.run.spec import RunSpec, w_name
from deadtokens.training.batches import batch_of
from deadtokens.trajectory.parts import load_steps
from deadtokens.trajectory.populations import DEAD, LIVE, POPULATIONS
from deadtokens.trajectory.segments import Segments

# Name: axes, long name, unit.
QUANTITIES = {
    "probe_loss": (("probe",), "cross-entropy of the update's batch", "nat"),
    "entropy": (("probe",), "entropy of the prediction, mean over positions", "nat"),
    "top_probability": (
        ("probe",),
        "probability of the most probable token, mean over positions",
        "1",
    ),
    "temperature": (
        ("probe",),
        "1 / (standard deviation of the logits over all tokens), geometric mean over positions",
        "1",
    ),
    "live_temperature": (
        ("probe",),
        "the same with the standard deviation over live tokens alone",
        "1",
    ),
    "output_error": (("probe",), "|output side - mean((p - y) h)| / |mean((p - y) h)|", "1"),
    "output_sum": (
        ("probe",),
        "|sum of the output side over tokens| / sum of its rows' norms",
        "1",
    ),
    "whole_sum": (("probe",), "the same of the whole gradient of W", "1"),
    "grad_differing": (("probe",), "values of the recorded gradient that differ in a bit", "1"),
    "grad_difference": (
        ("probe",),
        "largest difference to the recorded gradient, over its largest",
        "1",
    ),
    "W_differing": (
        ("probe",),
        "values of the recorded W before the update that differ in a bit",
        "1",
    ),
}
_CHECKS = "; ".join(f"{name}: {text}" for name, text in CHECKS.items())
VARIABLES = QUANTITIES | {
    "deviation": (("probe", "check"), _CHECKS, "1"),
    "side_norm": (
        ("probe", "population", "side"),
        "norm of a row's gradient by way of one side, before clipping, root mean square over "
        "tokens",
        "nat",
    ),
    "tolerance": (("check",), "largest deviation with which a check holds", "1"),
}
COORDINATES = {
    "probe": ("update whose batch and weights are probed", "1"),
    "check": (),
    "side": (),
}
AXES = {"check": list(CHECKS), "population": list(POPULATIONS), "side": list(SIDES)}


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
    batch = batch_of(spec, stream, moment.update)
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
    values = {
        name: _over_probes(probes, name, axes[1:])
        for name, (axes, *_) in VARIABLES.items()
        if axes[0] == "probe"
    }
    values["tolerance"] = [TOLERANCES[name] for name in CHECKS]
    updates = np.array([probe.update for probe in probes], np.int64)
    return label(values | {"probe": updates} | AXES, VARIABLES, COORDINATES)


def _over_probes(probes: Sequence[Probe], name: str, axes: Sequence[str]) -> np.ndarray:
    values = np.array([probe.values[name] for probe in probes], np.float64)
    return values.reshape(len(probes), *(len(AXES[axis]) for axis in axes))
