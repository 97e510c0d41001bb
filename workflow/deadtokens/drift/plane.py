"""The plane in which the drift is drawn: the dead centroid's path, the clouds' ellipses, frames."""

from collections.abc import Mapping

import numpy as np

from deadtokens.drift.components import principal_components
from deadtokens.drift.directions import oriented
from deadtokens.drift.follow import Followed
from deadtokens.trajectory.populations import POPULATIONS

AXES = 2


def describe_plane(found: Followed, centroid: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the plane of the path, and what lies in it.

    Without dead tokens, or if their centroid never moved, everything is NaN.

    Parameters
    ----------
    found : Followed
    centroid : mapping of population to ndarray, shape (states, components)
    """
    dead = centroid["dead"]
    components = principal_components(dead, centred=True)
    plane = oriented(_first_axes(components.direction), dead[-1] - dead[0])
    return {
        "plane": plane,
        "plane_share": _first_axes(components.share),
        "path_share": components.share,
        "path": np.stack([(centroid[name] - dead[0]) @ plane.T for name in POPULATIONS], axis=1),
        "ellipse": _ellipses(found, plane),
        "frame_position": np.stack([(rows - dead[0]) @ plane.T for rows in found.frame.values()]),
        "frame_frozen": np.stack(list(found.frozen.values())),
    }


def _first_axes(values: np.ndarray) -> np.ndarray:
    missing = max(0, AXES - len(values))
    padding = ((0, missing), *[(0, 0)] * (values.ndim - 1))
    return np.pad(values[:AXES], padding, constant_values=np.nan)


def _ellipses(found: Followed, plane: np.ndarray) -> np.ndarray:
    """Return the covariances within the plane, (marked, populations, axes, axes)."""
    marked = dict.fromkeys(state for _, state in found.covariance)
    return np.stack(
        [
            [plane @ found.covariance[name, state] @ plane.T for name in POPULATIONS]
            for state in marked
        ]
    )
