"""How tokens and their populations move in every update: one pass over W.

Piece by piece; what is kept is of the size of the tokens, or of the updates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from deadtokens.freezing.forecast import Judgement, follow
from deadtokens.freezing.lives import Lives
from deadtokens.freezing.steps import PHASES, Steps, measure_steps, values_of
from deadtokens.statistics.quantiles import quantiles
from deadtokens.statistics.spread import Spread
from deadtokens.trajectory.pieces import Piece
from deadtokens.trajectory.populations import DEAD

ROWS_AT_A_TIME = 16  # what is worked on then stays in the processor's cache
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BFLOAT16, RECORDED = range(2)  # of steps.GRIDS
Rows = dict[str, np.ndarray]  # by name; axis 0 is the update


@dataclass
class Window:
    """All tokens over some updates.

    Attributes
    ----------
    updates : ndarray of int64, shape (updates,)
    steps : Steps
    places : list of Spread
        Of each population's rows, over the states.
    """

    updates: np.ndarray
    steps: Steps
    places: list[Spread]

    @classmethod
    def empty(cls, updates: np.ndarray, members: np.ndarray, components: int) -> "Window":
        """Return a window that `add` fills."""
        length, (populations, tokens) = len(updates), members.shape
        places = [Spread(components, length + 1) for _ in range(populations)]
        return cls(updates, Steps.none(tokens, length), places)

    def add(self, piece: Piece, members: np.ndarray, before: np.ndarray) -> None:
        """Measure a piece; `before`, (tokens, components), goes on to its last displacements."""
        for start in range(0, len(piece.tokens), ROWS_AT_A_TIME):
            bits = piece.bits["W"][start : start + ROWS_AT_A_TIME]
            first = piece.tokens.start + start
            tokens = slice(first, first + len(bits))
            self.steps.put(tokens, measure_steps(bits, before[tokens]))
            W = values_of(bits)
            for place, chosen in zip(self.places, members[:, tokens], strict=True):
                place.add(W[chosen])


@dataclass(frozen=True)
class Moves:
    """What one pass over a run's W gathers.

    Attributes
    ----------
    rows : dict of str to ndarray, axis 0 the update
        Of the populations, update by update.
    lives : Lives
        Of every token.
    judged : dict of int to Judgement
        Of every token, by the updates asked for.
    phases : uint8 ndarray, shape (columns, dead tokens)
        Phases of the dead tokens on bfloat16's grid at the sampled updates.
    """

    rows: Rows
    lives: Lives
    judged: dict[int, Judgement]
    phases: np.ndarray


def measure_moves(
    pieces: Iterable[Piece],
    members: np.ndarray,
    components: int,
    sampled: np.ndarray,
    judged: Sequence[int],
) -> Moves:
    """Measure the moves over the pieces of W of a whole run, as `read_pieces` yields them.

    Parameters
    ----------
    pieces : iterable of Piece
    members : ndarray of bool, shape (populations, tokens)
    components : int
        D.
    sampled : ndarray of int64
        Updates at which the dead tokens' phases are kept.
    judged : sequence of int
        Updates after which every token is judged.
    """
    populations, tokens = members.shape
    dead = members[DEAD]
    lives, velocity = Lives.of(tokens), np.full((populations, components), np.nan)
    before = np.full((tokens, components), np.nan, np.float32)
    judgements = {0: Judgement.of(lives)}
    none = Window.empty(np.zeros(0, np.int64), members, components)
    rows, _ = summarise(none, members, velocity)
    parts, columns = [rows], [np.zeros((0, np.count_nonzero(dead)), np.uint8)]
    for _, group in groupby(pieces, key=lambda piece: piece.updates[0]):
        window = _gather(group, members, before)
        rows, velocity = summarise(window, members, velocity)
        phase = window.steps.phases(components)
        judgements |= follow(lives, phase, window.steps.l1 == 1, judged, window.updates)
        parts.append(rows)
        columns.append(phase[BFLOAT16][np.ix_(dead, np.isin(window.updates, sampled))].T)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in rows}
    return Moves(whole, lives, judgements, np.concatenate(columns))


def _gather(pieces: Iterable[Piece], members: np.ndarray, before: np.ndarray) -> Window:
    window = None
    for piece in pieces:
        window = window or Window.empty(piece.updates, members, before.shape[1])
        window.add(piece, members, before)
    return window


def summarise(window: Window, members: np.ndarray, velocity: np.ndarray) -> tuple[Rows, np.ndarray]:
    """Return what a window says of the populations, and the centroids' last displacements.

    Parameters
    ----------
    window : Window
    members : ndarray of bool, shape (populations, tokens)
    velocity : float64 ndarray, shape (populations, components)
        The centroids' displacements by the update before the window; NaN if there was none.
    """
    each = [_population(window.steps, chosen, velocity.shape[1]) for chosen in members]
    rows = {name: np.stack([one[name] for one in each], axis=1) for name in each[0]}
    steps = np.diff([place.centroid for place in window.places])
    steps = np.concatenate([velocity[:, :, None], steps], axis=2)
    rows["centroid_speed"] = np.linalg.norm(steps[:, :, 1:], axis=1).T
    rows["centroid_acceleration"] = np.linalg.norm(np.diff(steps), axis=1).T
    radius = np.sqrt(window.places[DEAD].variance)
    rows |= {"update": window.updates, "radius": radius[1:], "radius_velocity": np.diff(radius)}
    return rows, steps[:, :, -1]


def _population(steps: Steps, chosen: np.ndarray, components: int) -> Rows:
    """Return what the chosen tokens did, by update."""
    phase = steps.phases(components)[:, chosen]
    moved, hop = steps.moved[:, chosen], steps.l1[:, chosen] == 1
    still = phase[RECORDED] == len(PHASES) - 1
    fractions = [_mean(phase == index) for index in range(len(PHASES))]
    norms = np.stack([getattr(steps, name)[:, chosen] for name in ("l1", "l2", "linf")])
    return {
        "frozen_fraction": _mean(still),
        "phase_fraction": np.moveaxis(np.stack(fractions), -1, 0),
        "hop_fraction": _mean(hop).T,
        "moved_fraction": _mean(moved).T / components,
        "moved_components_quantile": _quantiles(moved),
        "ulp_distance_quantile": _quantiles(norms),
        "displacement_quantile": _quantiles(steps.displacement[chosen]),
        "displacement_in_ulps_quantile": _quantiles(steps.ulps_l2[chosen]),
        "largest_displacement_in_ulps_quantile": _quantiles(steps.ulps_linf[chosen]),
        "acceleration_quantile": _quantiles(steps.acceleration[chosen]),
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over tokens, the last axis but one; NaN where a population is empty."""
    tokens = values.shape[-2]
    return values.sum(axis=-2) / tokens if tokens else np.full(values.sum(axis=-2).shape, np.nan)


def _quantiles(values: np.ndarray) -> np.ndarray:
    """Quantiles over tokens, float32 of shape (updates, ..., quantiles); NaN without tokens."""
    found = quantiles(values.swapaxes(-1, -2).astype(np.float32, copy=False), QUANTILES)
    return np.moveaxis(found, -2, 0).astype(np.float32)
