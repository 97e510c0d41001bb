"""What a direction is: its cosines to directions that mean something, and what these explain."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.stats import beta

from deadtokens.statistics.cosines import unit

NULL_LEVEL = 0.95


def chance_cosine(width: int) -> float:
    """Return the |cosine| that two random directions exceed with probability 1 - NULL_LEVEL.

    The squared cosine has a beta distribution with parameters 1/2 and (D - 1)/2.

    Parameters
    ----------
    width : int
        D.
    """
    return 1.0 if width < 2 else float(np.sqrt(beta.ppf(NULL_LEVEL, 0.5, (width - 1) / 2)))


def explained_alone(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return the share of the vectors' sum of squares that lies along each direction.

    Parameters
    ----------
    vectors : ndarray, shape (n, D)
        Centred or not, as the variance or the mean square is meant.
    directions : ndarray, shape (m, D)

    Returns
    -------
    ndarray, shape (m,)
        A random direction explains 1/D in the mean.
    """
    vectors = vectors.astype(np.float64)
    with np.errstate(all="ignore"):
        return np.square(vectors @ unit(directions).T).sum(axis=0) / np.square(vectors).sum()


def oriented(directions: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Return the directions, (n, D), with the signs that make their products with `along` >= 0."""
    return np.where((directions @ along < 0)[:, None], -directions, directions)


def decades(updates: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield windows of updates, 1 to 10, 11 to 100, ...: their names, and which updates they hold.

    Those of which no update is recorded are passed over.

    Parameters
    ----------
    updates : ndarray of int, shape (updates,)
    """
    first, last = 1, 10
    while len(updates) and first <= updates[-1]:
        chosen = (first <= updates) & (updates <= last)
        if chosen.any():
            yield f"updates {first:,} to {min(last, int(updates[-1])):,}", chosen
        first, last = last + 1, 10 * last


def hidden_directions(h_mean: np.ndarray, updates: np.ndarray) -> dict[str, np.ndarray]:
    """Return the mean hidden state over the run and over its decades, and its sign.

    Parameters
    ----------
    h_mean : ndarray, shape (updates, D)
    updates : ndarray of int, shape (updates,)
    """
    whole = h_mean.sum(axis=0, dtype=np.float64) / max(len(h_mean), 1)
    windows = {
        f"mean hidden state, {name}": h_mean[chosen].mean(axis=0, dtype=np.float64)
        for name, chosen in decades(updates)
    }
    return {"mean hidden state": whole, **windows, "sign of the mean hidden state": np.sign(whole)}


def live_directions(
    first: np.ndarray, last: np.ndarray, count: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return the live tokens' centroid, its net displacement, and the unigram-weighted mean.

    Parameters
    ----------
    first, last : ndarray, shape (live tokens, D)
        W at the first and at the last state.
    count : ndarray of int, shape (live tokens,), or None
        Occurrences in the training text, if they are known.
    """
    weights = np.full(len(last), np.nan) if count is None else count / max(count.sum(), 1)
    tokens = max(len(last), 1)
    centroid = last.sum(axis=0, dtype=np.float64) / tokens
    return {
        "live centroid at the end": centroid,
        "live centroid's net displacement": centroid - first.sum(axis=0, dtype=np.float64) / tokens,
        "unigram-weighted mean of live rows": weights @ last.astype(np.float64),
    }


def stack(directions: Mapping[str, np.ndarray]) -> tuple[list[str], np.ndarray]:
    """Return the names, and the directions as rows."""
    return list(directions), np.stack(list(directions.values()))


def lags(updates: int) -> np.ndarray:
    """Return lags 1, 2, 5, 10, 20, 50, ... up to half a run's length."""
    wanted = [step * 10**power for power in range(8) for step in (1, 2, 5)]
    return np.array([lag for lag in wanted if 2 * lag <= updates], np.int64)


def persistence(vectors: np.ndarray, lag: int) -> tuple[float, float]:
    """Return how alike a vector and the one `lag` updates later are.

    Parameters
    ----------
    vectors : ndarray, shape (updates, D)
    lag : int
        At least 1 and less than the number of updates.

    Returns
    -------
    cosine : float
        Mean over updates of the cosine between the two.
    autocorrelation : float
        The same products after the run's mean is taken out, summed over components and the pairs
        of updates, over the sum of squares of all updates: what outlasts the lag besides the
        constant part, nearer to 0 by 1 - lag / updates, as there are so many fewer pairs.
    """
    directions = unit(vectors)
    cosine = (directions[:-lag] * directions[lag:]).sum(axis=1).mean()
    centred = vectors - vectors.mean(axis=0)
    with np.errstate(all="ignore"):
        products = (centred[:-lag] * centred[lag:]).sum() / np.square(centred).sum()
    return float(cosine), float(products)
