"""What the recorded gradients and second moments of a block of updates say, in plain numbers.

Arrays have the order of the disk: (tokens, components, steps). Sums are taken in float64: squares
of the smallest gradients would vanish in float32.
"""

import numpy as np

from deadtokens.loops import compiled

REGIMES = ("sign", "transition", "linear")
DECADE = 10.0  # sqrt(v_hat) this far above or below eps counts as far


def row_norms(values: np.ndarray) -> np.ndarray:
    """Return the L2 norm of each row, float64 of shape (tokens, steps)."""
    squares = np.zeros((len(values), values.shape[2]))
    _add_squares(values, squares)
    return np.sqrt(squares, out=squares)


def alignment(
    grad: np.ndarray, norms: np.ndarray, h_mean: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compare gradients with p_i h_mean, what mean(p_i h) would be if p_i and h were uncorrelated.

    Parameters
    ----------
    grad : float32 ndarray of shape (tokens, components, steps)
    norms : float64 ndarray of shape (tokens, steps)
        Of its rows.
    h_mean : ndarray of shape (components, steps)
    probability : ndarray of shape (tokens, steps)

    Returns
    -------
    cosine, ratio : float64 ndarray of shape (tokens, steps)
        Cosine of each gradient to h_mean, and |g_i| / (p_i |h_mean|); NaN where one of them is 0.
    """
    h_norm = np.linalg.norm(h_mean.astype(np.float64), axis=0)
    along = np.zeros_like(norms)
    _add_products(grad, h_mean, along)
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
    positive, agree = np.zeros((2, grad.shape[2]), np.int64)
    _count_signs(grad, h_mean, positive, agree)
    return positive / components + nothing, agree / components + nothing


def sum_ratio(grad: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Return |sum_i g_i| / sum_i |g_i| over the vocabulary, float64 of shape (steps,).

    Parameters
    ----------
    grad : float32 ndarray of shape (tokens, components, steps)
    norms : float64 ndarray of shape (tokens, steps)
        Of its rows.
    """
    sums = np.zeros(grad.shape[1:])
    _add_rows(grad, sums)
    total, sizes = np.linalg.norm(sums, axis=0), norms.sum(axis=0)
    return np.divide(total, sizes, out=np.full_like(total, np.nan), where=sizes > 0)


def second_moments(
    v: np.ndarray, correction: np.ndarray, members: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return every row's mean v_hat, and in which way Adam treats the components.

    With sqrt(v_hat) at least `DECADE` times eps the update depends on the gradients' signs and
    proportions alone; below eps / `DECADE` it is m_hat / eps, linear in the gradient.

    Parameters
    ----------
    v : float32 ndarray of shape (tokens, components, steps)
        As recorded.
    correction : float32 ndarray of shape (steps,)
        1 - beta2 ** t: v over it is v_hat.
    members : bool ndarray of shape (populations, tokens)
        Every token is in one of them.
    eps : float

    Returns
    -------
    means : float64 ndarray of shape (tokens, steps)
        Over components.
    shares : float64 ndarray of shape (steps, populations, 3)
        Of a population's components, by `REGIMES`; NaN for a population without tokens.
    """
    tokens, components, steps = v.shape
    sums = np.zeros((tokens, steps))
    sign, linear = np.zeros((2, len(members), steps), np.int64)
    above, below = np.array([DECADE * eps, eps / DECADE], np.float32)
    _sum_and_count(v, correction, members.argmax(axis=0), above, below, sums, sign, linear)
    number = components * members.sum(axis=1)[:, None]
    with np.errstate(invalid="ignore"):
        shares = sign / number, linear / number
    every = np.stack([shares[0], 1 - shares[0] - shares[1], shares[1]], axis=2)
    return sums / components, every.transpose(1, 0, 2)


def straight_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Return slope, intercept and R^2 of the least-squares line of y over x; NaN if x is constant.

    A tenth of the time of `scipy.stats.linregress`, which counts at a line an update.

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


@compiled
def _add_squares(values: np.ndarray, squares: np.ndarray) -> None:
    for token in range(values.shape[0]):
        for component in range(values.shape[1]):
            for step in range(values.shape[2]):
                squares[token, step] += np.float64(values[token, component, step]) ** 2


@compiled
def _add_rows(values: np.ndarray, sums: np.ndarray) -> None:
    for token in range(values.shape[0]):
        for component in range(values.shape[1]):
            for step in range(values.shape[2]):
                sums[component, step] += values[token, component, step]


@compiled
def _add_products(values: np.ndarray, direction: np.ndarray, products: np.ndarray) -> None:
    for token in range(values.shape[0]):
        for component in range(values.shape[1]):
            for step in range(values.shape[2]):
                value = np.float64(values[token, component, step])
                products[token, step] += value * direction[component, step]


@compiled
def _count_signs(
    grad: np.ndarray, direction: np.ndarray, positive: np.ndarray, agree: np.ndarray
) -> None:
    for token in range(grad.shape[0]):
        for component in range(grad.shape[1]):
            for step in range(grad.shape[2]):
                g, h = grad[token, component, step], direction[component, step]
                positive[step] += g > 0
                agree[step] += ((g > 0) & (h > 0)) | ((g < 0) & (h < 0))


@compiled
def _sum_and_count(
    v: np.ndarray,
    correction: np.ndarray,
    population: np.ndarray,
    above: float,
    below: float,
    sums: np.ndarray,
    sign: np.ndarray,
    linear: np.ndarray,
) -> None:
    hat = np.empty(v.shape[2], np.float32)
    for token in range(v.shape[0]):
        of_sign, of_linear = sign[population[token]], linear[population[token]]
        for component in range(v.shape[1]):
            _divide(v[token, component], correction, hat)
            _add(hat, sums[token])
            _count_regimes(hat, above, below, of_sign, of_linear)


@compiled
def _divide(values: np.ndarray, by: np.ndarray, result: np.ndarray) -> None:
    for step in range(len(result)):
        result[step] = values[step] / by[step]


@compiled
def _add(values: np.ndarray, sums: np.ndarray) -> None:
    for step in range(len(sums)):
        sums[step] += values[step]


@compiled
def _count_regimes(
    hat: np.ndarray, above: float, below: float, sign: np.ndarray, linear: np.ndarray
) -> None:
    for step in range(len(hat)):
        root = np.sqrt(hat[step])
        sign[step] += root >= above
        linear[step] += root < below
