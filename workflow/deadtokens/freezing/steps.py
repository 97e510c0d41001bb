"""What one update does to one token: distances in ulps and in weights, and the phase.

Everything is counted on the bits of W, on two grids: that of bfloat16, on which a float32 weight
counts as the bfloat16 nearest to it (see `deadtokens.ulp`), so that regimes compare; and the
recorded one.
"""

from dataclasses import dataclass, fields

import numpy as np

from deadtokens.loops import compiled
from deadtokens.run.formats import EXPONENT, MANTISSA, SMALLEST_NORMAL, signed
from deadtokens.ulp import nearest_bfloat16

GRIDS = ("bfloat16", "recorded")
PHASES = ("early", "midlife", "late", "frozen")
EARLY, MIDLIFE, LATE, FROZEN = range(4)
ULPS_TO_NEXT_POWER = np.float32(2 ** MANTISSA["bfloat16"])


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
    def none(cls, tokens: int, updates: int) -> "Steps":
        """Return the steps of tokens that stand still."""
        on_grids, plain = (len(GRIDS), tokens, updates), (tokens, updates)
        return cls(
            *(np.zeros(on_grids, np.float32) for _ in range(3)),
            np.zeros(on_grids, np.uint16),
            *(np.zeros(plain, np.float32) for _ in range(4)),
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


def measure_steps(bits: np.ndarray, before: np.ndarray) -> Steps:
    """Return what each update did.

    Parameters
    ----------
    bits : ndarray of uint16 or uint32, shape (tokens, components, updates + 1)
        The states of W before, between and after the updates.
    before : float32 ndarray, shape (tokens, components)
        The displacement of the update before the first, NaN if there was none; goes on to that of
        the last.
    """
    tokens, _, states = bits.shape
    steps = Steps.none(tokens, states - 1)
    on_grids = (steps.l1, steps.l2, steps.linf, steps.moved)
    grids = [nearest_bfloat16(bits), bits] if bits.itemsize == 4 else [bits]
    for grid, own in enumerate(grids):
        _count_ulps(signed(own), *(norm[grid] for norm in on_grids))
    for norm in on_grids:
        norm[len(grids) :] = norm[0]
    plain = (steps.displacement, steps.acceleration, steps.ulps_l2, steps.ulps_linf)
    _measure_weights(values_of(bits), before, *plain)
    for norm in (steps.l2, steps.displacement, steps.acceleration, steps.ulps_l2):
        np.sqrt(norm, out=norm)
    return steps


def values_of(bits: np.ndarray) -> np.ndarray:
    """Return the float32 values of bfloat16's or float32's bits, in the same shape."""
    if bits.itemsize == 2:
        bits = np.left_shift(bits, 16, dtype=np.uint32)
    return bits.view(np.float32)


@compiled
def _count_ulps(
    bits: np.ndarray, l1: np.ndarray, l2: np.ndarray, linf: np.ndarray, moved: np.ndarray
) -> None:
    """Add signed bits (tokens, components, updates + 1) up to norms (tokens, updates), l2 squared.

    One component's updates at a time, in short loops: so they are wide instructions.
    """
    places, apart = np.empty(bits.shape[2]), np.empty(bits.shape[2] - 1, np.float32)
    for token in range(bits.shape[0]):
        for component in range(bits.shape[1]):
            row = bits[token, component]
            _find_places(row, places)
            _distances(places, apart)
            _add(apart, l1[token])
            _add_squares(apart, l2[token])
            _raise(apart, linf[token])
            _count_changes(row, moved[token])


@compiled
def _measure_weights(
    W: np.ndarray,
    before: np.ndarray,
    displacement: np.ndarray,
    acceleration: np.ndarray,
    ulps_l2: np.ndarray,
    ulps_linf: np.ndarray,
) -> None:
    """Add values (tokens, components, updates + 1) up to norms (tokens, updates), L2 squared."""
    updates = W.shape[2] - 1
    step, change = np.empty(1 + updates, np.float32), np.empty(updates, np.float32)
    in_ulps, power = np.empty(updates, np.float32), np.empty(updates, np.uint32)
    for token in range(W.shape[0]):
        for component in range(W.shape[1]):
            row = W[token, component]
            step[0] = before[token, component]
            _differences(row, step[1:])
            _differences(step, change)
            _in_bfloat16_ulps(step[1:], row.view(np.uint32), power, in_ulps)
            _add_squares(step[1:], displacement[token])
            _add_squares(change, acceleration[token])
            _add_squares(in_ulps, ulps_l2[token])
            _raise(in_ulps, ulps_linf[token])
            before[token, component] = step[updates]


@compiled
def _find_places(bits: np.ndarray, places: np.ndarray) -> None:
    """Count the representable numbers in order: bits, or from the lowest if they are negative.

    In float64, which holds each one exactly, and of which processors make float32.
    """
    lowest = -(2 ** (8 * bits.itemsize - 1))
    for step in range(len(places)):
        own = bits[step]
        places[step] = np.int32(own if own >= 0 else lowest - own)


@compiled
def _distances(places: np.ndarray, apart: np.ndarray) -> None:
    for step in range(len(apart)):
        apart[step] = abs(places[step + 1] - places[step])


@compiled
def _in_bfloat16_ulps(
    displacement: np.ndarray, start: np.ndarray, power: np.ndarray, in_ulps: np.ndarray
) -> None:
    """Divide by bfloat16's ulp at float32 starts given as bits; `power` is memory.

    Exact but for an overflow: an ulp is the power of two below the start, over 2 ** 7.
    """
    for step in range(len(power)):
        power[step] = max(start[step] & EXPONENT, SMALLEST_NORMAL)
    below = power.view(np.float32)
    for step in range(len(power)):
        in_ulps[step] = displacement[step] / below[step] * ULPS_TO_NEXT_POWER


@compiled
def _differences(values: np.ndarray, found: np.ndarray) -> None:
    for step in range(len(found)):
        found[step] = values[step + 1] - values[step]


@compiled
def _add(values: np.ndarray, total: np.ndarray) -> None:
    for step in range(len(total)):
        total[step] += values[step]


@compiled
def _add_squares(values: np.ndarray, total: np.ndarray) -> None:
    for step in range(len(total)):
        total[step] += values[step] * values[step]


@compiled
def _raise(values: np.ndarray, highest: np.ndarray) -> None:
    for step in range(len(highest)):
        highest[step] = np.maximum(highest[step], abs(values[step]))  # NaN stays


@compiled
def _count_changes(bits: np.ndarray, count: np.ndarray) -> None:
    for step in range(len(count)):
        count[step] += bits[step + 1] != bits[step]
