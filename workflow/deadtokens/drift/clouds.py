"""The populations' clouds at every state and in every update, from what the pass found."""

import numpy as np

from deadtokens.drift.cloud import Positions, effective_dimension, follow_path, spectra
from deadtokens.drift.follow import Followed, joined_motion, joined_positions
from deadtokens.trajectory.populations import POPULATIONS


def describe_clouds(
    found: Followed, members: np.ndarray, has_all_rows: bool
) -> dict[str, np.ndarray]:
    """Return the quantities of every state and update.

    Parameters
    ----------
    found : Followed
    members : ndarray of bool, shape (populations, tokens)
    has_all_rows : bool
        Whether W has rows for these tokens alone; else what is of all rows is NaN.
    """
    positions = {name: joined_positions(found.positions[name]) for name in POPULATIONS}
    eigenvalues = np.concatenate(found.eigenvalues)
    marked = list(dict.fromkeys(state for _, state in found.covariance))
    with np.errstate(all="ignore"):
        separation = np.linalg.norm(positions["dead"].centroid - positions["live"].centroid, axis=1)
        return {
            **_of_states(positions, members, has_all_rows),
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


def _of_states(
    positions: dict[str, Positions], members: np.ndarray, has_all_rows: bool
) -> dict[str, np.ndarray]:
    paths = [follow_path(positions[name].centroid) for name in POPULATIONS]
    columns = {
        "centroid": [positions[name].centroid for name in POPULATIONS],
        "radius": [positions[name].radius for name in POPULATIONS],
        "mean_norm": [positions[name].mean_norm for name in POPULATIONS],
        "path_length": [path.length for path in paths],
        "efficiency": [path.efficiency for path in paths],
    }
    stacked = {name: np.stack(values, axis=1) for name, values in columns.items()}
    centroid, mean_norm = stacked["centroid"], stacked["mean_norm"]
    of_all = _ratio_of_all(centroid, mean_norm, members.sum(axis=1))
    return stacked | {
        "mean_embedding_ratio": np.linalg.norm(centroid, axis=2) / mean_norm,
        "mean_embedding_ratio_all": of_all if has_all_rows else np.full_like(of_all, np.nan),
    }


def _ratio_of_all(centroid: np.ndarray, mean_norm: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Return the norm of the mean of all populations' rows over their mean norm, by state."""
    known = tokens > 0
    share = tokens[known] / tokens.sum()
    together = np.einsum("p,spc->sc", share, centroid[:, known])
    return np.linalg.norm(together, axis=1) / (mean_norm[:, known] @ share)


def _of_updates(found: Followed, positions: dict[str, Positions]) -> dict[str, np.ndarray]:
    motions = [joined_motion(found.motion[name]) for name in POPULATIONS]
    columns = {
        "movers": [motion.movers for motion in motions],
        "bulk_speed": [np.sqrt(motion.bulk) for motion in motions],
        "thermal_speed": [np.sqrt(motion.thermal) for motion in motions],
        "bulk_share": [motion.bulk / motion.mean_square for motion in motions],
        "resultant_length": [motion.resultant_length for motion in motions],
        "pairwise_cosine": [motion.pairwise_cosine for motion in motions],
        "step_cosine": [follow_path(positions[name].centroid).cosine for name in POPULATIONS],
    }
    return {name: np.stack(values, axis=1) for name, values in columns.items()}
