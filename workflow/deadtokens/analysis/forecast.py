"""Where the mean hidden state alone would take a cloud's centroid.

The gradient of a dead row is the mean over positions of p h. Two simplifications of it are played
forward: the centroid as if it were one token whose gradient is (mean probability) x (mean hidden
state), with the run's own optimizer in float64; and the sum of -lr x (mean hidden state) with one
free length, which knows nothing of the optimizer.
"""

import numpy as np
import torch

from deadtokens.training.update import Hyperparameters, adamw_


def replay_centroid(
    start: np.ndarray, gradient: np.ndarray, lr: np.ndarray, hyper: Hyperparameters
) -> np.ndarray:
    """Return the path of one token under AdamW in float64: no rounding, no other token.

    Parameters
    ----------
    start : ndarray, shape (components,)
    gradient : ndarray, shape (updates, components)
    lr : ndarray, shape (updates,)
    hyper : Hyperparameters

    Returns
    -------
    float64 ndarray, shape (updates + 1, components)
    """
    W = torch.tensor(start, dtype=torch.float64)
    gradients = torch.tensor(gradient, dtype=torch.float64)
    exp_avg, exp_avg_sq = torch.zeros_like(W), torch.zeros_like(W)
    path = [W.numpy().copy()]
    for index, rate in enumerate(lr):
        adamw_(W, gradients[index], exp_avg, exp_avg_sq, index + 1, float(rate), hyper)
        path.append(W.numpy().copy())
    return np.stack(path)


def fraction_explained(centroid: np.ndarray, forecast: np.ndarray) -> float:
    """Return 1 - |end - forecast end|^2 / |end - start|^2.

    1 if the forecast ends where the centroid does, 0 if it is no better than staying at the start,
    negative if it is worse; NaN if the centroid did not move.

    Parameters
    ----------
    centroid, forecast : ndarray, shape (states, components)
    """
    return _explained(centroid[-1:] - centroid[0], centroid[-1:] - forecast[-1:])


def path_explained(centroid: np.ndarray, forecast: np.ndarray) -> float:
    """Return the same with sums over all states: how well the whole way is explained."""
    return _explained(centroid - centroid[0], centroid - forecast)


def _explained(displacement: np.ndarray, error: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return float(1 - np.square(error).sum() / np.square(displacement).sum())


def forecasts(
    centroid: np.ndarray,
    h_mean: np.ndarray,
    probability: np.ndarray,
    lr: np.ndarray,
    hyper: Hyperparameters,
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the names of the forecasts and how much of the centroid's drift each explains.

    Parameters
    ----------
    centroid : ndarray, shape (updates + 1, components)
    h_mean : ndarray, shape (updates, components)
    probability : ndarray, shape (updates,)
        Mean predicted probability of the population's tokens.
    lr : ndarray, shape (updates,)
    hyper : Hyperparameters
    """
    paths = {
        "optimizer on p h": replay_centroid(centroid[0], probability[:, None] * h_mean, lr, hyper),
        "sum of -lr h, best length": summed_path(centroid, h_mean, lr),
    }
    return list(paths), {
        "forecast_end_explained": np.array(
            [fraction_explained(centroid, path) for path in paths.values()]
        ),
        "forecast_path_explained": np.array(
            [path_explained(centroid, path) for path in paths.values()]
        ),
    }


def summed_path(centroid: np.ndarray, h_mean: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """Return the sums of -lr x (mean hidden state) from the start, one length for all states.

    The length is the one whose end is nearest to the centroid's end.

    Parameters
    ----------
    centroid : ndarray, shape (updates + 1, components)
    h_mean : ndarray, shape (updates, components)
    lr : ndarray, shape (updates,)
    """
    sums = np.zeros(centroid.shape)
    np.cumsum(-lr[:, None] * h_mean, axis=0, out=sums[1:])
    with np.errstate(all="ignore"):
        factor = (centroid[-1] - centroid[0]) @ sums[-1] / (sums[-1] @ sums[-1])
        return centroid[0] + np.maximum(factor, 0) * sums
