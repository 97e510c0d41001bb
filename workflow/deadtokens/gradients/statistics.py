"""What the recorded gradients and second moments of a block of updates say, in plain numbers.

Arrays have the order of the disk: (tokens, components, steps). Sums are taken in float64: squares
of the smallest gradients would vanish in float32.
"""

import numpy as np

REGIMES = ("sign", "transition", "linear")
TOKENS_AT_A_TIME = 512  # whose square roots are in memory
DECADE = 10.0  # sqrt(v_hat) this far above or below eps counts as far


def row_norms(values: np.ndarray) -> np.ndarray:
    """Return the L2 norm of each row, float64 of shape (tokens, steps)."""
    return np.sqrt(np.einsum("tcs,tcs->ts", values, values, dtype=np.float64))


def alignment(
    grad: np.ndarray, h_mean: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compare gradients with p_i h_mean, what mean(p_i h) would be if p_i and h were uncorrelated.

    Parameters
    ----------
    grad : float32 ndarray of shape (tokens, components, steps)
    h_mean : ndarray of shape (components, steps)
    probability : ndarray of shape (tokens, steps)

    Returns
    -------
    cosine, ratio : float64 ndarray of shape (tokens, steps)
        Cosine of each gradient to h_mean, and |g_i| / (p_i |h_mean|); NaN where one of them is 0.
    """
    norms, h_norm = row_norms(grad), np.linalg.norm(h_mean.astype(np.float64), axis=0)
    along = np.einsum("tcs,cs->ts", grad, h_mean, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine, ratio = along / (norms * h_norm), norms / (probability * h_norm)
    defined = (norms > 0) & (probability > 0) & (h_norm > 0)
    return np.where(defined, cosine, np.nan), np.where(defined, ratio, np.nan)


def sign_shares(grad: np.ndarray, h_mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of components that are positive, and that have h_mean's sign.

    Zeros count as neither.

    Returns
    -------
    positive, as_hidden : float64 ndarray of shape (steps,)
        NaN if there are no tokens.
    """
    components = max(1, grad.shape[0] * grad.shape[1])
    nothing = np.nan if not grad.size else 0.0
    positive = np.count_nonzero(grad > 0, axis=(0, 1))
    agree = np.count_nonzero(((grad > 0) & (h_mean > 0)) | ((grad < 0) & (h_mean < 0)), axis=(0, 1))
    return positive / components + nothing, agree / components + nothing


def sum_ratio(grad: np.ndarray) -> np.ndarray:
    """Return |sum_i g_i| / sum_i |g_i| over the vocabulary, float64 of shape (steps,)."""
    total = np.linalg.norm(grad.sum(axis=0, dtype=np.float64), axis=0)
    norms = row_norms(grad).sum(axis=0)
    return np.divide(total, norms, out=np.full_like(total, np.nan), where=norms > 0)


def regime_shares(second_moment: np.ndarray, chosen: np.ndarray, eps: float) -> np.ndarray:
    """Return which share of the components Adam treats in which way, (steps, 3).

    With sqrt(v_hat) at least `DECADE` times eps the update depends on the gradients' signs and
    proportions alone; below eps / `DECADE` it is m_hat / eps, linear in the gradient.

    Parameters
    ----------
    second_moment : ndarray of shape (tokens, components, steps)
        Corrected for bias: v_hat.
    chosen : bool ndarray of shape (tokens,)
        The population whose components are counted.
    eps : float
    """
    tokens, components, steps = second_moment.shape
    number = components * np.count_nonzero(chosen)
    if not number:
        return np.full((steps, len(REGIMES)), np.nan)
    sign, linear = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    for start in range(0, tokens, TOKENS_AT_A_TIME):
        part = slice(start, start + TOKENS_AT_A_TIME)
        root = np.sqrt(second_moment[part][chosen[part]])
        sign += np.count_nonzero(root >= DECADE * eps, axis=(0, 1))
        linear += np.count_nonzero(root < eps / DECADE, axis=(0, 1))
    shares = sign / number, linear / number
    return np.stack([shares[0], 1 - shares[0] - shares[1], shares[1]], axis=1)


def straight_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Return slope, intercept and R^2 of the least-squares line of y over x; NaN if x is constant.

    Parameters
    ----------
    x, y : ndarray of shape (points,)
    """
    x_off, y_off = x - x.mean(), y - y.mean()
    spread, total = x_off @ x_off, y_off @ y_off
    if not spread:
        return np.nan, np.nan, np.nan
    slope = (x_off @ y_off) / spread
    left = y_off - slope * x_off
    return slope, y.mean() - slope * x.mean(), 1 - (left @ left) / total if total else np.nan


def entropy(probability: np.ndarray) -> np.ndarray:
    """Return the entropy of distributions (tokens, steps), nats, of shape (steps,)."""
    p = probability.astype(np.float64)
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=0)
