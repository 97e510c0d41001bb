"""Clipping: by what the whole gradient is multiplied if its norm is too large."""

import torch
from torch import Tensor


def clip_scale(norm: Tensor, clip: float | None) -> Tensor:
    """Return the factor by which every gradient of an update is multiplied, at most 1.

    That of `torch.nn.utils.clip_grad_norm_`.

    Parameters
    ----------
    norm : float32 Tensor
        Norm of the whole gradient before clipping, of one update or of several.
    clip : float or None
        Its largest norm; None if there is none.
    """
    if clip is None:
        return torch.ones_like(norm)
    return (clip / (norm + 1e-6)).clamp(max=1.0)
