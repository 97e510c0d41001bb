"""Where a cloud's centroid ends, forecast from the first tenth of the updates alone.

A `hindcast` takes every update's own numbers. A forecast takes what is known at an early state, the
path and the mean hidden states up to there, and the learning rates to come; it is held against the
rest of the way, which shares no update with it. (Against the whole net displacement any forecast
looks better, since the early part of the way belongs to both.)

Adam divides the scale of a gradient out, so that a gradient of constant direction moves every
component by lr per update, against its sign; one that fluctuates about a mean, stationary, moves
it by lr mean(g) / rms(g). For dead rows g is close to p h, and a p that changes slowly cancels.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from deadtokens.statistics.cosines import cosines

PART = 10  # the first tenth of the updates, rounded up, is early
NEAR = 0.1  # of the net displacement: so near to its end a centroid has arrived

STAY, WALK = "no further motion", "random walk with steps as before"
KEPT_UP, LAST = "drift so far, kept up", "last step, kept up"
SIGN, STEADY = "-lr sign(h), h so far", "-lr h / rms(h), h so far"
FORECASTS = (STAY, WALK, KEPT_UP, LAST, SIGN, STEADY)

REST, WHOLE = "rest of the way", "net displacement"
SPANS = (REST, WHOLE)
MEASURES = ("cosine", "length", "explained")

CLUES = ("initial centroid", "mean hidden state, first tenth", "mean hidden state, last tenth")


class Forecast(NamedTuple):
    """A displacement that is expected.

    Attributes
    ----------
    mean : float64 ndarray, shape (components,)
    length : float
        Root of the expected square of its norm; more than the norm of `mean` where it is random.
    """

    mean: np.ndarray
    length: float

    @classmethod
    def certain(cls, displacement: np.ndarray) -> "Forecast":
        """Return the forecast of exactly this displacement."""
        return cls(displacement, float(np.linalg.norm(displacement)))

    def after(self, displacement: np.ndarray) -> "Forecast":
        """Return the forecast of a known displacement and this one together."""
        mean = displacement + self.mean
        variance = self.length**2 - self.mean @ self.mean
        return Forecast(mean, float(np.sqrt(mean @ mean + variance)))


def early_updates(updates: int) -> int:
    """Return how many updates a forecast may know of so many."""
    return -(-updates // PART)


def forecast_rest(path: np.ndarray, h_mean: np.ndarray, lr: np.ndarray) -> dict[str, Forecast]:
    """Return what is still to come of a centroid's way, by each of FORECASTS.

    Parameters
    ----------
    path : ndarray, shape (early updates + 1, components)
        The centroid's positions so far.
    h_mean : ndarray, shape (early updates, components)
    lr : ndarray, shape (updates,)
        Of all updates, those to come too.
    """
    early = len(h_mean)
    to_come = lr[early:].sum()
    steps = np.diff(path, axis=0)
    nothing = np.zeros(path.shape[1])
    mean, square = h_mean.sum(axis=0) / early, np.square(h_mean).sum(axis=0) / early
    walk = np.sqrt(np.square(steps).sum() / early * (len(lr) - early))
    return {
        STAY: Forecast(nothing, 0.0),
        WALK: Forecast(nothing, float(walk)),
        KEPT_UP: Forecast.certain((path[-1] - path[0]) * to_come / lr[:early].sum()),
        LAST: Forecast.certain(steps[-1] * to_come / lr[early - 1]),
        SIGN: Forecast.certain(-to_come * np.sign(mean)),
        STEADY: Forecast.certain(-to_come * mean / np.sqrt(square)),
    }


def compare_end(displacement: np.ndarray, forecast: Forecast) -> dict[str, float]:
    """Return how near a forecast comes to a displacement.

    Parameters
    ----------
    displacement : ndarray, shape (components,)
    forecast : Forecast

    Returns
    -------
    dict of str to float
        ``cosine`` between the two, NaN for a forecast without direction; ``length``, that of the
        displacement over the forecast's; and ``explained``, 1 - (expected squared error) / |d|^2:
        1 if it is met, 0 if no better than no motion.
    """
    square = displacement @ displacement
    error = square - 2 * displacement @ forecast.mean + forecast.length**2
    return {
        "cosine": float(cosines(displacement[None], forecast.mean[None])[0, 0]),
        "length": float(np.sqrt(square) / forecast.length if forecast.length else np.nan),
        "explained": float(1 - error / square if square else np.nan),
    }


def arrival(centroid: np.ndarray) -> float:
    """Return the state from which a centroid stays within NEAR of its net displacement of its end.

    NaN if it did not move.

    Parameters
    ----------
    centroid : ndarray, shape (states, components)
    """
    distance = np.linalg.norm(centroid - centroid[-1], axis=1)
    if not 0 < distance[0] < np.inf:
        return np.nan
    return float(np.flatnonzero(distance > NEAR * distance[0])[-1] + 1)


def describe_endpoint(
    centroid: np.ndarray, h_mean: np.ndarray, lr: np.ndarray
) -> dict[str, np.ndarray]:
    """Return how the end was to be foreseen, and what it is aligned with.

    Parameters
    ----------
    centroid : ndarray, shape (updates + 1, components)
    h_mean : ndarray, shape (updates, components)
    lr : ndarray, shape (updates,)
    """
    early = early_updates(len(lr))
    arrived = arrival(centroid)
    return {
        **_forecasts(centroid, h_mean, lr, early),
        "end_clue_cosine": cosines(centroid[-1:], _clues(centroid, h_mean, early))[0],
        "end_arrival": np.array(arrived),
        "end_reach": np.array(_reach(centroid, lr, arrived)),
    }


def _forecasts(
    centroid: np.ndarray, h_mean: np.ndarray, lr: np.ndarray, early: int
) -> Mapping[str, np.ndarray]:
    shape = (len(FORECASTS), len(SPANS))
    if not early:
        return {f"end_forecast_{name}": np.full(shape, np.nan) for name in MEASURES}
    start, now, end = centroid[[0, early, -1]]
    rest = forecast_rest(centroid[: early + 1], h_mean[:early], lr)
    found = [
        compare_end(*pair)
        for name in FORECASTS
        for pair in ((end - now, rest[name]), (end - start, rest[name].after(now - start)))
    ]
    return {
        f"end_forecast_{name}": np.reshape([one[name] for one in found], shape) for name in MEASURES
    }


def _clues(centroid: np.ndarray, h_mean: np.ndarray, early: int) -> np.ndarray:
    """Return what CLUES names, (clues, components)."""
    first, last = h_mean[:early], h_mean[len(h_mean) - early :]
    return np.stack([centroid[0], first.sum(axis=0), last.sum(axis=0)])


def _reach(centroid: np.ndarray, lr: np.ndarray, arrived: float) -> float:
    """Return the distance gone at arrival over that of steps of lr in every component."""
    if not np.isfinite(arrived):
        return np.nan
    full = np.sqrt(centroid.shape[1]) * lr[: int(arrived)].sum()
    return float(np.linalg.norm(centroid[int(arrived)] - centroid[0]) / full)
