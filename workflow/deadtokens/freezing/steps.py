"""What one update does to one token: distances in ulps and in weights, and the phase.

Everything is counted on the bits of W, on two grids: that of bfloat16, on which a float32 weight
counts as the bfloat16 nearest to it (see `deadtokens.ulp`), so that regimes compare; and the
recorded one.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from deadtokens.ulp import distances, in_bfloat16_ulps, nearest_bfloat16, ordered

GRIDS = ("bfloat16", "recorded")
PHASES = ("early", "midlife", "late", "frozen")
EARLY, MIDLIFE, LATE, FROZEN = range(4)


@dataclass(frozen=True)
class Steps:
    """What each update did to each token.

    Attributes
    ----------
    l1, l2, linf : float32 ndarray, shape (grids, tokens, updates)
        Norms of the row's distances in ulps.
    moved : ndarray of uint16, shape (grids, tokens, updates)
        Components of which a bit changed.
    displacement, acceleration : float32 ndarray, shape (tokens, updates)
        L2 norms of the first and second differences of W; the second one ends at the update.
    ulps_l2, ulps_linf : float32 ndarray, shape (tokens, updates)
        Norms of the row's displacements in bfloat16's ulps at their starting points.
    """

    l1: np.ndarray
    l2: np.ndarray
    linf: np.ndarray
    moved: np.ndarray
    displacement: np.ndarray
    acceleration: np.ndarray
    ulps_l2: np.ndarray
    ulps_linf: np.ndarray

    @classmethod
    def empty(cls, tokens: int, updates: int) -> "Steps":
        """Return arrays that `put` fills."""
        on_grids, plain = (len(GRIDS), tokens, updates), (tokens, updates)
        return cls(
            *(np.empty(on_grids, np.float32) for _ in range(3)),
            np.empty(on_grids, np.uint16),
            *(np.empty(plain, np.float32) for _ in range(4)),
        )

    def put(self, tokens: slice, part: "Steps") -> None:
        """Place what was measured of some tokens."""
        for field in fields(self):
            getattr(self, field.name)[..., tokens, :] = getattr(part, field.name)

    def phases(self, components: int) -> np.ndarray:
        """Return each token's phase, an index of PHASES, uint8 of shape (grids, tokens, updates).

        Early: L2 above the root of the number of components, in ulps; midlife: some component by
        more than one ulp; late: all by at most one; frozen: no bit changed. Each implies that the
        ones before it do not hold.

        Parameters
        ----------
        components : int
            D, the length of a row.
        """
        phase = (self.l2 <= np.sqrt(np.float32(components))).view(np.uint8)
        return phase + (self.linf <= 1) + (self.moved == 0)


def measure_steps(bits: np.ndarray, W: np.ndarray, before: np.ndarray) -> tuple[Steps, np.ndarray]:
    """Return what each update did, and the displacements.

    Parameters
    ----------
    bits : ndarray of uint16 or uint32, shape (tokens, components, updates + 1)
        The states of W before, between and after the updates.
    W : float32 ndarray, same shape
        Their values.
    before : float32 ndarray, shape (tokens, components)
        The displacement of the update before the first; NaN if there was none.

    Returns
    -------
    Steps
    displacement : float32 ndarray, shape (tokens, components, updates)
    """
    grids = [_distance_norms(bits if bits.itemsize == 2 else nearest_bfloat16(bits))]
    grids.append(_distance_norms(bits) if bits.itemsize > 2 else grids[0])
    displacement = _stepwise(np.subtract, W)
    weights = [l2_norms(displacement), _acceleration(displacement, before)]
    ulps = _norms_in_ulps(displacement, bits)
    steps = Steps(
        *(np.stack(norm) for norm in zip(*grids, strict=True)),
        *(norm[:, :-1] for norm in (*weights, *ulps)),
    )
    return steps, displacement[:, :, :-1]


def _acceleration(displacement: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the L2 norms of the changes of displacements; `before` is that before the first."""
    change, flat = np.empty_like(displacement), displacement.reshape(-1)
    np.subtract(flat[1:], flat[:-1], out=change.reshape(-1)[1:])
    np.subtract(displacement[:, :, 0], before, out=change[:, :, 0])
    return l2_norms(change)


def _norms_in_ulps(displacement: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return L2 and Linf of displacements in bfloat16's ulps at their starts, given as bits."""
    in_ulps = in_bfloat16_ulps(displacement, start)
    return l2_norms(in_ulps), np.abs(in_ulps, out=in_ulps).max(axis=1)


def _stepwise(
    operation: Callable, states: np.ndarray, kind: np.dtype | type | None = None
) -> np.ndarray:
    """Return `operation` of each state and the one before it, in the shape of the states.

    The array is taken as one long row: several times faster than as many short ones. Its last
    column, where one row's end meets the next row's beginning, means nothing.
    """
    flat = states.reshape(-1)
    found = np.zeros(flat.shape, kind or states.dtype)
    operation(flat[1:], flat[:-1], out=found[:-1])
    return found.reshape(states.shape)


def l2_norms(rows: np.ndarray) -> np.ndarray:
    """Return the L2 norms along axis 1, float32 of shape (tokens, updates)."""
    return np.sqrt(np.einsum("tcs,tcs->ts", rows, rows))


def values_of(bits: np.ndarray) -> np.ndarray:
    """Return the float32 values of bfloat16's or float32's bits, in the same shape."""
    if bits.itemsize == 2:
        bits = np.left_shift(bits, 16, dtype=np.uint32)
    return bits.view(np.float32)


def _distance_norms(bits: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return L1, L2 and Linf in ulps and the number of components that moved, per token."""
    apart = _stepwise(distances, ordered(bits)).view(bits.dtype)
    changed = _stepwise(np.not_equal, bits, bool).view(np.uint8)
    moved = np.add.reduce(changed, axis=1, dtype=np.uint16)
    linf = apart.max(axis=1).astype(np.float32)
    apart = apart.astype(np.float32)
    norms = np.add.reduce(apart, axis=1), l2_norms(apart), linf, moved
    return tuple(norm[:, :-1] for norm in norms)
