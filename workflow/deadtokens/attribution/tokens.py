"""What single tokens' sums say: shares, cosines, whether the terms close, who is at rest."""

from dataclasses import dataclass

import numpy as np

from deadtokens.attribution.sums import EXP_AVG, GRAD, OfTokens
from deadtokens.attribution.terms import DISPLACEMENT, ROUNDING, TERMS

AGAINST = ("grad", "exp_avg", "h_mean")
# Of each token: a share of each term, and a cosine against each of AGAINST.
STATISTICS = (*TERMS, *AGAINST)
CLOSURE = 1e-12  # of the sum of the terms' sizes: float64 loses less


def statistics_of(sums: OfTokens, factors: np.ndarray, h_mean: np.ndarray) -> np.ndarray:
    """Return STATISTICS of each token; a division by a norm of zero gives NaN or an infinity.

    Parameters
    ----------
    sums : OfTokens
    factors : float64 ndarray of shape (updates, terms)
    h_mean : float64 ndarray of shape (updates, components)

    Returns
    -------
    float32 ndarray of shape (statistics, updates, tokens)
    """
    norms, h_norms = np.sqrt(sums.squares), np.linalg.norm(h_mean, axis=1)[:, None]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        shares = factors.T[:, :, None] * sums.products[: len(TERMS)] / sums.squares[DISPLACEMENT]
        slopes = [
            sums.products[GRAD] / norms[GRAD],
            sums.products[EXP_AVG] / norms[EXP_AVG],
            sums.with_h / h_norms,
        ]
        cosines = -np.stack(slopes) / norms[DISPLACEMENT]
        return np.concatenate([shares, cosines]).astype(np.float32)


def closure_of(sums: OfTokens, factors: np.ndarray) -> np.ndarray:
    """Return each update's largest gap between a token's displacement and the sum of its terms.

    Along the displacement, relative to the sizes of the terms.

    Parameters
    ----------
    sums : OfTokens
    factors : float64 ndarray of shape (updates, terms)

    Returns
    -------
    float64 ndarray of shape (updates,)
    """
    factors, displacement = factors.T[:, :, None], sums.squares[DISPLACEMENT]
    terms = slice(len(TERMS))
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = np.abs((factors * sums.products[terms]).sum(axis=0) - displacement)
        sizes = (np.abs(factors) * np.sqrt(sums.squares[terms])).sum(axis=0)
        largest = np.nan_to_num(gaps / (sizes * np.sqrt(displacement))).max(axis=1)
    if (largest > CLOSURE).any():
        raise AssertionError(f"the terms do not sum to the displacement: {largest.max():.3g}")
    return largest


@dataclass(frozen=True)
class Rest:
    """Who an update did not move, and the norm of what rounding took from them: (updates, tokens).

    Attributes
    ----------
    at_rest : ndarray of bool
    norm : float64 ndarray
        0 for those that moved.
    """

    at_rest: np.ndarray
    norm: np.ndarray


def rest_of(sums: OfTokens) -> Rest:
    """Return who rests."""
    at_rest = sums.squares[DISPLACEMENT] == 0
    return Rest(at_rest, at_rest * np.sqrt(sums.squares[ROUNDING]))
