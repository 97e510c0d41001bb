"""How the cloud of dead tokens drifts: its path, its coherence, its principal directions.

One pass over W follows the dead and the live tokens; all that is random (resamples, nulls, samples)
is seeded by the run's name and its first state, so that it comes out the same every time.
"""

import hashlib
import logging
from argparse import ArgumentParser, Namespace

import numpy as np
import torch
import xarray as xr

from deadtokens.arguments import add_output, add_run
from deadtokens.drift import component_sets, labels, tokens
from deadtokens.drift.clouds import describe_clouds
from deadtokens.drift.components import BAND
from deadtokens.drift.directions import (
    chance_cosine,
    decades,
    hidden_directions,
    lags,
    live_directions,
    persistence,
    stack,
)
from deadtokens.drift.endpoint import CLUES, FORECASTS, SPANS, describe_endpoint
from deadtokens.drift.follow import Followed, Watch, follow
from deadtokens.drift.hindcast import HINDCASTS, describe_hindcasts, hindcast_paths
from deadtokens.drift.plane import describe_plane
from deadtokens.drift.record import Record, dead_probabilities, plan, read_record
from deadtokens.drift.walk import describe_walks
from deadtokens.errors import UserError
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.run.spec import read_spec
from deadtokens.trajectory.blocks import read_blocks
from deadtokens.trajectory.optional import ALL_ROWS, is_recorded, left_out
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.parts import load_tensor
from deadtokens.trajectory.populations import LIVE, POPULATIONS, describe_members
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.refusal import NOTHING, or_why_not, without_variables
from deadtokens.trajectory.rule import rule_of_run
from deadtokens.trajectory.segments import Segments
from deadtokens.trajectory.spans import describe_spans, equal_span


def _hindcasts(record: Record, found: Followed, centroid: np.ndarray) -> dict[str, np.ndarray]:
    """Return the hindcasts of the dead centroid by name, NaN of another's training."""
    if "spec" not in record.run.attrs:
        return dict.fromkeys(HINDCASTS, np.full_like(centroid, np.nan))
    recorded = getattr(torch, record.run["W"].attrs["recorded_dtype"])
    W = torch.from_numpy(found.W[0][record.dead]).to(recorded)
    probabilities = dead_probabilities(record)
    return hindcast_paths(
        centroid,
        W,
        probabilities,
        record.h_mean,
        record.lr,
        record.grad_norm,
        read_spec(record.run.attrs["spec"]),
        record.shared,
    )


def _memory_of_steps(record: Record) -> float:
    """Return how alike the steps of neighbouring updates are by momentum alone: beta1.

    NaN if the optimizer is not known or has none, or recorded states are not equally far apart.
    """
    try:
        return rule_of_run(record.run).fixed.beta1 if equal_span(record.spans) else np.nan
    except UserError:
        return np.nan


def candidate_directions(record: Record, found: Followed) -> dict[str, np.ndarray]:
    """Return the directions to which the drift's directions are compared, by name."""
    first, last = found.W[0], found.W[record.last]
    dead, live = record.dead, record.members[LIVE]
    count = record.run["count"].values[live] if "count" in record.run else None
    return {
        **hidden_directions(record.h_mean, record.update),
        **live_directions(first[live], last[live], count),
        "initial dead centroid": first[dead].sum(axis=0, dtype=np.float64) / max(dead.sum(), 1),
        "all ones": np.ones(first.shape[1]),
    }


def _places_apart(record: Record) -> np.ndarray:
    """Return `lags` in recorded updates; none where these are not equally far apart."""
    return lags(0 if equal_span(record.spans) is None else len(record.update))


def describe_hidden(record: Record) -> dict[str, np.ndarray]:
    """Return how alike mean hidden states are that lie so many updates apart as `lag` says."""
    wanted = _places_apart(record).tolist()
    found = np.array([persistence(record.h_mean, lag) for lag in wanted]).reshape(-1, 2)
    return {"hidden_cosine": found[:, 0], "hidden_autocorrelation": found[:, 1]}


def sources_of(record: Record, found: Followed, centroid: np.ndarray) -> dict[str, np.ndarray]:
    """Return the vectors whose principal components are wanted, by name."""
    dead = record.dead
    states = _source_states(found)
    rows = [found.W[state][dead] for state in states]
    net = rows[-1].astype(np.float64) - rows[0]
    names = (component_sets.NET, component_sets.STEPS, *component_sets.POSITIONS)
    return dict(zip(names, (net, np.diff(centroid, axis=0), *rows), strict=True))


def _source_states(found: Followed) -> list[int]:
    states = sorted(found.W)
    return [states[0], states[len(states) // 2], states[-1]]


def measure_drift(segments: Segments) -> xr.Dataset:
    """Return the drift of a run: where its clouds of tokens go, and in which directions.

    Parameters
    ----------
    segments : path or sequence of paths
        The folder of a recording, or its segments in order. They are read block by block.

    Returns
    -------
    Dataset
        Of every state, by population: ``centroid``, ``radius``, ``path_length``, ``efficiency``
        and more; principal directions with their ``share`` and their cosines to candidates, such as
        the mean hidden state; how a token's drift depends on what the token is. The table is
        `deadtokens.drift.labels`. What the record does not allow is NaN and named in the attribute
        ``left_out``.

    Raises
    ------
    UserError
        If the segments cannot be read, the first one is missing, or which tokens are dead is not
        known.

    Examples
    --------
    >>> drift = measure_drift("recorded/mine")
    >>> drift.efficiency.sel(population="dead")[-1]  # of the way, how much is distance
    """
    run = open_run(segments)
    record = read_record(run)
    first = load_tensor(segments, "W", steps=slice(0, 1))
    generator = _generator(run.attrs["run"], first)
    watch = plan(record, generator)
    found = follow(read_blocks(segments, ["W"]), watch)
    with np.errstate(all="ignore"):
        names, candidates = stack(candidate_directions(record, found))
        values = _values(record, watch, found, candidates, generator)
    values |= _coordinates(record, watch, first.shape[1], names) | describe_members(record.members)
    about = {"chance_cosine": chance_cosine(first.shape[1]), **run_attributes(run)}
    about |= _left_out(run)
    drift = label(values, labels.VARIABLES, labels.COORDINATES)
    return drift.assign(describe_spans(run)).assign_attrs(about)


def _left_out(run: xr.Dataset) -> dict[str, str]:
    """Return the attribute that says what a recording of another's training does not allow."""
    if "recorded" not in run.attrs:
        return {}
    directions = "directions against hidden states, forecasts by them"
    needing = {"h_mean": directions, "probability": "hindcasts", "grad_norm": "hindcasts"}
    return {"left_out": left_out(run, **needing, **{ALL_ROWS: "mean_embedding_ratio_all"})}


def _generator(run: str, first: np.ndarray) -> np.random.Generator:
    digest = hashlib.sha256(run.encode() + first.tobytes()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def _values(
    record: Record,
    watch: Watch,
    found: Followed,
    candidates: np.ndarray,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    clouds = describe_clouds(found, record.members, is_recorded(record.run, ALL_ROWS))
    centroid = dict(zip(POPULATIONS, clouds["centroid"].transpose(1, 0, 2), strict=True))
    sources = sources_of(record, found, centroid["dead"])
    plane = describe_plane(found, centroid)
    components = component_sets.describe_components(
        sources, watch.weights, found.resampled, generator
    )
    return {
        **clouds,
        **components,
        **component_sets.describe_directions(
            sources, components["principal_direction"], candidates
        ),
        **describe_hidden(record),
        **_tokens(record, found, generator),
        **describe_hindcasts(centroid["dead"], _hindcasts(record, found, centroid["dead"])),
        **_endpoint(record, centroid["dead"]),
        **plane,
        "source_state": np.array([-1, -1, *_source_states(found)]),
        "member_dead": record.dead[watch.members],
        **describe_walks(
            centroid,
            plane["path_share"],
            _memory_of_steps(record),
            generator,
            equal_span(record.spans) or 1,
        ),
    }


def _endpoint(record: Record, centroid: np.ndarray) -> dict[str, np.ndarray]:
    """Return what was to be foreseen of the end; NaN where the updates are not equally far apart.

    A step of k updates counts as one with k times the last one's learning rate.
    """
    found = describe_endpoint(centroid, record.h_mean, record.lr * record.spans)
    if len(record.spans) and equal_span(record.spans) is None:
        return {name: np.full_like(values, np.nan) for name, values in found.items()}
    return found | {"end_arrival": found["end_arrival"] * (equal_span(record.spans) or 1)}


def _tokens(
    record: Record, found: Followed, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    early = next((chosen for _, chosen in decades(record.update)), record.update > 0)
    return tokens.describe_tokens(
        found.W[0],
        found.W[record.last],
        record.members,
        record.run,
        record.h_mean[early].sum(axis=0),
        generator,
    )


def _coordinates(record: Record, watch: Watch, width: int, candidates: list[str]) -> dict:
    return {
        "state": record.state,
        "update": record.update,
        "token": record.run["token"].values,
        "component": np.arange(width),
        "rank": np.arange(1, width + 1),
        "leading": np.arange(1, component_sets.LEADING + 1),
        "marked": sorted(watch.marked),
        "source": list(component_sets.SOURCES),
        "centring": list(component_sets.CENTRING),
        "bound": list(BAND),
        "null_quantile": list(component_sets.NULL_QUANTILES),
        "candidate": candidates,
        "lag": _places_apart(record) * (equal_span(record.spans) or 1),
        "property": list(tokens.PROPERTIES),
        "response": list(tokens.RESPONSES),
        "number": list(tokens.NUMBERS),
        "place": list(tokens.PLACES),
        "likeness": list(tokens.LIKENESSES),
        "hindcast": list(HINDCASTS),
        "forecast": list(FORECASTS),
        "span": list(SPANS),
        "clue": list(CLUES),
        "walk": list(labels.WALKS),
        "frame": sorted(watch.frames),
        "member": record.run["token"].values[watch.members],
    }


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_run(parser)
    add_output(parser)


def main(options: Namespace) -> None:
    """Run the command ``drift``."""
    drift = or_why_not(measure_drift, options.segments, without_variables)
    write(drift, options.output)
    if NOTHING in drift.attrs:
        return
    end = drift.isel(state=-1).sel(population="dead")
    first = drift["share"].sel(source=component_sets.NET, centring="raw", rank=1)
    logging.getLogger(__name__).info(
        f"drift {drift.attrs['run']}: the dead centroid went {float(end.path_length):.3g} with "
        f"efficiency {float(end.efficiency):.3g}; the first component explains {float(first):.1%} "
        "of the net displacements"
    )
