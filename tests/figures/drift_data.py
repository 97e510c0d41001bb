"""Drift files of planted runs for the figures' tests."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import xarray as xr
from planted import write_run

from deadtokens.drift.drift import measure_drift
from deadtokens.run import layout
from deadtokens.run.spec import RunSpec


@cache
def _measured(updates: int, thermal: float, moving: bool) -> xr.Dataset:
    generator = np.random.default_rng(0)
    drift = np.linspace(1, 2, updates)[:, None, None] * np.array([3.0, -1, 0.5, 0])
    steps = (drift + thermal * generator.normal(size=(updates, 36, 4))) * moving
    W = np.concatenate([np.zeros((1, 36, 4)), np.cumsum(steps, axis=0)])
    W = torch.from_numpy((W + generator.normal(size=(36, 4))).astype(np.float32))
    tensors = dict.fromkeys(layout.STATE_TENSORS, W) | {"grad": W[1:]}
    with TemporaryDirectory() as folder:
        spec = RunSpec(precision="fp32").json_text()
        write_run(Path(folder), tensors, [0, updates], spec=spec)
        return measure_drift(folder)


def drift(
    run: str = "a", updates: int = 8, thermal: float = 1.0, moving: bool = True, **settings: object
) -> xr.Dataset:
    """Return the drift of 36 tokens, 12 of them dead, that go one way; `settings` is the spec."""
    spec = json.dumps(settings)
    return _measured(updates, thermal, moving).assign_attrs(run=run, spec=spec)


def exploded() -> xr.Dataset:
    """Return the drift of a run whose last update went so far that squares overflow."""
    generator = np.random.default_rng(0)
    W = torch.from_numpy(generator.normal(size=(3, 36, 4)).astype(np.float32))
    W[-1] *= 1e30
    tensors = dict.fromkeys(layout.STATE_TENSORS, W) | {"grad": W[1:]}
    about = {"spec": RunSpec(precision="fp32").json_text(), "status": "diverged"}
    with TemporaryDirectory() as folder:
        write_run(Path(folder), tensors, [0, 2], **about, diverged_at=3)
        return measure_drift(folder)


def without_dead(**settings: object) -> xr.Dataset:
    """Return what the drift of a run without dead tokens looks like."""
    data = drift(**settings)
    nothing = {name: data[name] * np.nan for name in ("share", "share_band", "cosine", "path")}
    nothing |= {name: data[name] * np.nan for name in ("frame_position", "explained_alone")}
    nothing |= {name: data[name] * np.nan for name in data if name.startswith(("end_", "path_"))}
    nothing["path_components_above_walk"] = data["path_components_above_walk"] * 0
    return data.assign(**nothing, dead=data["dead"] & False)


def ended(data: xr.Dataset, at: int) -> xr.Dataset:
    """Return the run as one that diverged at update `at`, behind its last."""
    return data.assign_attrs(status="diverged", diverged_at=at)
