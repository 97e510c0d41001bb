"""What one update does to one token: distances in ulps and in weights, and the phase.

Everything is counted on the bits of W, on two grids: that of bfloat16, on which a float32 weight
counts as the bfloat16 of its upper 16 bits, so that regimes compare; and the recorded one.
"""

from dataclasses import dataclass, fields

import numpy as np

from deadtokens.ulp import distances, in_bfloat16_ulps, ordered

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
    upper = bits if bits.itemsize == 2 else (bits >> 16).astype(np.uint16)
    grids = [_distance_norms(upper)]
    grids.append(_distance_norms(bits) if bits.itemsize > 2 else grids[0])
    displacement = W[:, :, 1:] - W[:, :, :-1]
    change = np.empty_like(displacement)
    np.subtract(displacement[:, :, 0], before, out=change[:, :, 0])
    np.subtract(displacement[:, :, 1:], displacement[:, :, :-1], out=change[:, :, 1:])
    in_ulps = in_bfloat16_ulps(displacement, bits[:, :, :-1])
    steps = Steps(
        *(np.stack(norm) for norm in zip(*grids, strict=True)),
        l2_norms(displacement),
        l2_norms(change),
        l2_norms(in_ulps),
        np.abs(in_ulps, out=in_ulps).max(axis=1),
    )
    return steps, displacement


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
    count = ordered(bits)
    apart = distances(count[:, :, :-1], count[:, :, 1:])
    changed = np.minimum(bits[:, :, 1:] ^ bits[:, :, :-1], 1)
    moved = np.add.reduce(changed, axis=1, dtype=changed.dtype).astype(np.uint16)
    linf = apart.max(axis=1).astype(np.float32)
    apart = apart.astype(np.float32)
    return np.add.reduce(apart, axis=1), l2_norms(apart), linf, moved
