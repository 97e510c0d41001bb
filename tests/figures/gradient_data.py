"""Small datasets as `deadtokens gradients` and `deadtokens initial_softmax` write them."""

import json

import numpy as np
import xarray as xr

POPULATIONS = ["dead", "live"]


def gradients(updates: int = 6, run: str = "a", dead: int = 2, **settings: object) -> xr.Dataset:
    """Return a run's gradients over five tokens of which the last `dead` are dead."""
    update, probe = np.arange(1, updates + 1), np.array([1, 2, 5, updates + 1])
    fall = np.exp(-np.arange(updates) / 2.0)
    frequency = np.array([0.4, 0.3, 0.2, 0.06, 0.04])
    is_dead = np.arange(5) >= 5 - dead
    frequency = np.where(is_dead, 0, frequency)
    empty = np.nan if not dead else 1.0
    first = np.array([[1e-9, np.nan, 1e-3], [np.nan, 1e-7, 1e-1]])
    multiplier = (first / (first + 1e-8))[:, :, None] * [0.9, 1.0, 1.1]
    realised = multiplier.copy()
    realised[0, 0] = 0
    per_update = ("update", "population")
    return xr.Dataset(
        {
            "gradient_norm": (per_update, np.stack([1e-3 * fall * empty, 1e-2 + 0 * fall], axis=1)),
            "sum_ratio": ("update", 0.1 * fall),
            "side_norm": (
                ("probe", "population", "side"),
                np.tile([[0.0 * empty, 1e-3 * empty], [4e-3, 5e-3]], (4, 1, 1)),
            ),
            "output_sum": ("probe", np.full(4, 1e-7)),
            "entropy": ("probe", [1.6, 1.5, 1.2, 1.0]),
            "temperature": ("probe", [6.0, 5.0, 2.0, 0.5]),
            "live_temperature": ("probe", [6.1, 5.1, 2.2, 0.7]),
            "mean_entropy": ("update", 1.2 + 0.4 * fall),
            "probability": (per_update, np.stack([0.2 * fall * empty, 0.2 + 0 * fall], axis=1)),
            "second_moment": ("token", 2e-5 * frequency + 1e-8),
            "frequency": ("token", frequency),
            "dead": ("token", is_dead),
            "frequency_slope": ("update", np.full(updates, 2e-5)),
            "frequency_r2": ("update", np.full(updates, 0.75)),
            "first_gradient": (("population", "bin"), first),
            "first_count": (("population", "bin"), np.isfinite(first) * 7),
            "first_intended": (("population", "bin", "spread"), multiplier),
            "first_realised": (("population", "bin", "spread"), realised),
            "gradient_cosine": ("population", [-0.75 * empty, -0.5]),
            "example_multiplier": ("example", [1.0, 0.5, 1e-4]),
        },
        coords={
            "update": update,
            "probe": probe,
            "population": POPULATIONS,
            "side": ["input", "output"],
            "spread": [0.05, 0.5, 0.95],
            "example": [1e-2, 1e-8, 1e-12],
        },
        attrs={
            "run": run,
            "spec": json.dumps({"eps": 1e-8, **settings}),
            "status": "complete",
            "vocabulary_size": 5,
        },
    )


def start(**values: float) -> xr.Dataset:
    """Return the softmax before training at two scales of the embedding."""
    dims, shape = ("tying", "embedding_std"), (2, 2)
    numbers = {
        "dead_probability": [[1e-3, 1e-12], [1e-3, 2e-3]],
        "typical_dead_probability": [[1e-3, 1e-16], [1e-3, 5e-4]],
        "predicted_dead_probability": [[1e-3, 1e-13], [1e-3, 1e-3]],
        "predicted_dead_probability_low": [[1e-3, 1e-14], [1e-3, 5e-4]],
        "predicted_dead_probability_high": [[1e-3, 2e-12], [1e-3, 2e-3]],
        "predicted_typical_dead_probability": [[1e-3, 2e-16], [1e-3, 5e-4]],
        "dead_gradient": [[2e-3, 4e-12], [2e-3, 3e-3]],
        "live_gradient": [[5e-3, 6e-3], [5e-3, 6e-3]],
        "mean_hidden": np.full(shape, 2.0),
    }
    return xr.Dataset(
        {name: (dims, np.full(shape, values.get(name, rows))) for name, rows in numbers.items()},
        coords={"tying": ["tied", "untied"], "embedding_std": [0.02, 1.0]},
        attrs={"run": "a", "spec": json.dumps({"width": 64}), "vocabulary_size": 1000},
    )
