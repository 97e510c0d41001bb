"""What a segment's file says of its tensors, without reading one."""

from collections.abc import Sequence

import h5py
import numpy as np


def tensor_shape(file: h5py.File, name: str) -> tuple[int, int, int]:
    """Return the lengths of a tensor that a segment gives: tokens, components, steps."""
    if name in file:
        return file[name].shape
    return (*file["grad"].shape[:2], file["state"].shape[0])


def tensor_format(file: h5py.File, name: str) -> str:
    """Return the number format of a tensor that a segment gives, '' if no step was recorded."""
    return file[name if name in file else f"first_{name}"].attrs["recorded_dtype"]


def mean_squares(file: h5py.File) -> Sequence[np.ndarray | None]:
    """Return what all rows of W share in each update of a segment, None where they share nothing.

    Returns
    -------
    sequence of float32 ndarray of shape (components,), or of None
    """
    if "grad_sq_mean" not in file:
        return [None] * file["update"].shape[0]
    return np.ascontiguousarray(file["grad_sq_mean"][...].T)
