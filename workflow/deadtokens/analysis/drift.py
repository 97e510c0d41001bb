"""How the cloud of dead tokens drifts: its path, its coherence, its principal directions.

One pass over W follows the dead and the live tokens; all that is random (resamples, nulls, samples)
is seeded by the run's name and its first state, so that it comes out the same every time.
"""

import argparse
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from deadtokens.analysis import drift_components, drift_tokens
from deadtokens.analysis.cloud import Positions, effective_dimension, follow_path, spectra
from deadtokens.analysis.components import BAND, resampling_weights
from deadtokens.analysis.directions import (
    chance_cosine,
    decades,
    hidden_directions,
    lags,
    live_directions,
    persistence,
    stack,
)
from deadtokens.analysis.drift_labels import label
from deadtokens.analysis.drift_plane import describe_plane
from deadtokens.analysis.follow import (
    POPULATIONS,
    Followed,
    Watch,
    choose_members,
    early_states,
    follow,
    joined_motion,
    joined_positions,
)
from deadtokens.analysis.forecast import describe_forecasts, forecast_paths
from deadtokens.analysis.origin import run_attributes
from deadtokens.errors import UserError
from deadtokens.netcdf import write
from deadtokens.training.spec import read_spec
from deadtokens.trajectory.blocks import load_tensor, read_blocks
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import Segments

MARKED = 7
FRAMES = 60
UPDATES_AT_ONCE = 64  # a chunk of the record
DRAWN = {"dead": 1500, "live": 500}


@dataclass(frozen=True)
class Record:
    """What of a run is small enough to be in memory as a whole.

    Attributes
    ----------
    run : Dataset
        As opened, for the census and the attributes.
    dead : ndarray of bool, shape (tokens,)
    update : ndarray of int64, shape (updates,)
    h_mean : float64 ndarray, shape (updates, components)
    lr : float64 ndarray, shape (updates,)
    """

    run: xr.Dataset
    dead: np.ndarray
    update: np.ndarray
    h_mean: np.ndarray
    lr: np.ndarray


def read_record(run: xr.Dataset) -> Record:
    """Read the small part of a run.

    Raises
    ------
    UserError
        If the run does not begin at state 0.
    """
    if run["state"].values[0] != 0:
        raise UserError(
            f"run {run.attrs['run']}: the first segment is missing; drift is measured from "
            "state 0, so give all segments from segment-000.nc on"
        )
    return Record(
        run,
        run["dead"].values.astype(bool),
        run["update"].values,
        run["h_mean"].values.astype(np.float64),
        run["lr"].values.astype(np.float64),
    )


def dead_probabilities(record: Record) -> Iterator[np.ndarray]:
    """Yield the dead tokens' mean predicted probabilities, float32 (dead tokens,), by update."""
    chosen = record.run["probability"].isel(token=np.flatnonzero(record.dead))
    for start in range(0, len(record.update), UPDATES_AT_ONCE):
        yield from chosen.isel(update=slice(start, start + UPDATES_AT_ONCE)).values


def _forecasts(record: Record, found: Followed, centroid: np.ndarray) -> dict[str, np.ndarray]:
    recorded = getattr(torch, record.run["W"].attrs["recorded_dtype"])
    W = torch.from_numpy(found.W[0][record.dead]).to(recorded)
    spec = read_spec(record.run.attrs["spec"])
    probabilities = dead_probabilities(record)
    return forecast_paths(centroid, W, probabilities, record.h_mean, record.lr, spec)


def plan(record: Record, generator: np.random.Generator) -> Watch:
    """Return what to keep on the way."""
    last = len(record.update)
    marked = early_states(last, MARKED)
    return Watch(
        dead=record.dead,
        whole={0, marked[len(marked) // 2], last},
        marked=set(marked),
        frames=set(early_states(last, FRAMES)),
        members=choose_members(record.dead, DRAWN, generator),
        weights=resampling_weights(int(record.dead.sum()), generator),
    )


def describe_clouds(found: Followed, dead: np.ndarray) -> dict[str, np.ndarray]:
    """Return the quantities of every state and update."""
    positions = {name: joined_positions(found.positions[name]) for name in POPULATIONS}
    eigenvalues = np.concatenate(found.eigenvalues)
    marked = list(dict.fromkeys(state for _, state in found.covariance))
    with np.errstate(all="ignore"):
        separation = np.linalg.norm(positions["dead"].centroid - positions["live"].centroid, axis=1)
        return {
            **_of_states(positions, dead),
            **_of_updates(found, positions),
            "separation": separation,
            "separation_in_radii": separation / positions["dead"].radius,
            "eigenvalue": eigenvalues,
            "effective_dimension": effective_dimension(eigenvalues),
            "marked_eigenvalue": np.stack(
                [
                    spectra(np.stack([found.covariance[name, s] for name in POPULATIONS]))
                    for s in marked
                ]
            ),
            "isotropy": np.array(
                [[found.isotropy[name, state] for name in POPULATIONS] for state in marked]
            ),
        }


def _of_states(positions: dict[str, Positions], dead: np.ndarray) -> dict[str, np.ndarray]:
    paths = [follow_path(positions[name].centroid) for name in POPULATIONS]
    columns = {
        "centroid": [positions[name].centroid for name in POPULATIONS],
        "radius": [positions[name].radius for name in POPULATIONS],
        "mean_norm": [positions[name].mean_norm for name in POPULATIONS],
        "path_length": [path.length for path in paths],
        "efficiency": [path.efficiency for path in paths],
    }
    stacked = {name: np.stack(values, axis=1) for name, values in columns.items()}
    tokens = np.array([dead.sum(), (~dead).sum()])
    known = tokens > 0
    share = tokens[known] / len(dead)
    together = np.einsum("p,spc->sc", share, stacked["centroid"][:, known])
    return stacked | {
        "mean_embedding_ratio": np.linalg.norm(stacked["centroid"], axis=2) / stacked["mean_norm"],
        "mean_embedding_ratio_all": np.linalg.norm(together, axis=1)
        / (stacked["mean_norm"][:, known] @ share),
    }


def _of_updates(found: Followed, positions: dict[str, Positions]) -> dict[str, np.ndarray]:
    motions = [joined_motion(found.motion[name]) for name in POPULATIONS]
    columns = {
        "movers": [motion.movers for motion in motions],
        "bulk_speed": [np.sqrt(motion.bulk) for motion in motions],
        "thermal_speed": [
            np.sqrt(np.maximum(motion.mean_square - motion.bulk, 0)) for motion in motions
        ],
        "bulk_share": [motion.bulk / motion.mean_square for motion in motions],
        "resultant_length": [motion.resultant_length for motion in motions],
        "pairwise_cosine": [motion.pairwise_cosine for motion in motions],
        "step_cosine": [follow_path(positions[name].centroid).cosine for name in POPULATIONS],
    }
    return {name: np.stack(values, axis=1) for name, values in columns.items()}


def candidate_directions(record: Record, found: Followed) -> dict[str, np.ndarray]:
    """Return the directions to which the drift's directions are compared, by name."""
    first, last = found.W[0], found.W[len(record.update)]
    dead, live = record.dead, ~record.dead
    count = record.run["count"].values[live] if "count" in record.run else None
    return {
        **hidden_directions(record.h_mean, record.update),
        **live_directions(first[live], last[live], count),
        "initial dead centroid": first[dead].sum(axis=0, dtype=np.float64) / max(dead.sum(), 1),
        "all ones": np.ones(first.shape[1]),
    }


def describe_hidden(h_mean: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return lags, and how alike mean hidden states so far apart are."""
    wanted = lags(len(h_mean))
    found = np.array([persistence(h_mean, lag) for lag in wanted.tolist()]).reshape(-1, 2)
    return wanted, {"hidden_cosine": found[:, 0], "hidden_autocorrelation": found[:, 1]}


def sources_of(record: Record, found: Followed, centroid: np.ndarray) -> dict[str, np.ndarray]:
    """Return the vectors whose principal components are wanted, by name."""
    dead = record.dead
    states = _source_states(found)
    rows = [found.W[state][dead] for state in states]
    net = rows[-1].astype(np.float64) - rows[0]
    names = (drift_components.NET, drift_components.STEPS, *drift_components.POSITIONS)
    return dict(zip(names, (net, np.diff(centroid, axis=0), *rows), strict=True))


def _source_states(found: Followed) -> list[int]:
    states = sorted(found.W)
    return [states[0], states[len(states) // 2], states[-1]]


def measure_drift(segments: Segments) -> xr.Dataset:
    """Return the drift of a run, read block by block.

    Raises
    ------
    UserError
        If the segments cannot be read, or the first one is missing.
    """
    run = open_run(segments)
    record = read_record(run)
    first = load_tensor(segments, "W", steps=slice(0, 1))
    generator = _generator(run.attrs["run"], first)
    watch = plan(record, generator)
    found = follow(read_blocks(segments, ["W"]), watch)
    with np.errstate(all="ignore"):
        values, coordinates = _values(record, watch, found, generator)
    about = {"chance_cosine": chance_cosine(first.shape[1]), **run_attributes(run)}
    return label(values, coordinates).assign_attrs(about)


def _generator(run: str, first: np.ndarray) -> np.random.Generator:
    digest = hashlib.sha256(run.encode() + first.tobytes()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def _values(
    record: Record, watch: Watch, found: Followed, generator: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    clouds = describe_clouds(found, record.dead)
    centroid = dict(zip(POPULATIONS, clouds["centroid"].transpose(1, 0, 2), strict=True))
    sources = sources_of(record, found, centroid["dead"])
    names, candidates = stack(candidate_directions(record, found))
    components = drift_components.describe_components(
        sources, watch.weights, found.resampled, generator
    )
    paths = _forecasts(record, found, centroid["dead"])
    wanted_lags, hidden = describe_hidden(record.h_mean)
    early = next((chosen for _, chosen in decades(record.update)), record.update > 0)
    tokens = drift_tokens.describe_tokens(
        found.W[0],
        found.W[len(record.update)],
        record.dead,
        record.run,
        record.h_mean[early].sum(axis=0),
        generator,
    )
    values = {
        **clouds,
        **components,
        **drift_components.describe_directions(
            sources, components["principal_direction"], candidates
        ),
        **hidden,
        **tokens,
        **describe_forecasts(centroid["dead"], paths),
        **describe_plane(found, centroid),
        "source_state": np.array([-1, -1, *_source_states(found)]),
        "member_dead": record.dead[watch.members],
    }
    coordinates = {
        "state": np.arange(len(record.update) + 1),
        "update": record.update,
        "population": list(POPULATIONS),
        "token": np.arange(len(record.dead)),
        "component": np.arange(candidates.shape[1]),
        "rank": np.arange(1, candidates.shape[1] + 1),
        "leading": np.arange(1, drift_components.LEADING + 1),
        "marked": sorted(watch.marked),
        "source": list(drift_components.SOURCES),
        "centring": list(drift_components.CENTRING),
        "bound": list(BAND),
        "null_quantile": list(drift_components.NULL_QUANTILES),
        "candidate": names,
        "lag": wanted_lags,
        "property": list(drift_tokens.PROPERTIES),
        "response": list(drift_tokens.RESPONSES),
        "likeness": list(drift_tokens.LIKENESSES),
        "forecast": list(paths),
        "frame": sorted(watch.frames),
        "member": watch.members,
    }
    return values, coordinates


def main(arguments: Sequence[str]) -> None:
    """Run the command ``drift``."""
    parser = argparse.ArgumentParser(prog="deadtokens drift", description=__doc__)
    parser.add_argument("segments", type=Path, nargs="+", help="segments of the run, in order")
    parser.add_argument("--output", type=Path, required=True, help="NetCDF file to write")
    options = parser.parse_args(arguments)
    drift = measure_drift(options.segments)
    write(drift, options.output)
    end = drift.isel(state=-1).sel(population="dead")
    first = drift["share"].sel(source=drift_components.NET, centring="raw", rank=1)
    logging.getLogger(__name__).info(
        f"drift {drift.attrs['run']}: the dead centroid went {float(end.path_length):.3g} with "
        f"efficiency {float(end.efficiency):.3g}; the first component explains {float(first):.1%} "
        "of the net displacements"
    )


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
