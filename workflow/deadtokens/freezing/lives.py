"""Each token's life, followed through the updates: last motion, thaws, stretches of stillness."""

from dataclasses import dataclass

import numpy as np

from deadtokens.freezing.lasting import LASTING
from deadtokens.freezing.steps import FROZEN, GRIDS, LATE, PHASES


@dataclass
class Lives:
    """What is known of each token after the updates so far; all int64, on each grid.

    Attributes
    ----------
    updates : int
        The last update that was followed.
    last_motion : ndarray, shape (grids, tokens)
        The last update that moved the token; 0: none did.
    last_in_phase : ndarray, shape (grids, tokens, phases)
        The last update that found the token in the phase; 0: none did.
    thaws : ndarray, shape (grids, tokens)
        How often it moved again after standing still.
    longest_broken : ndarray, shape (grids, tokens)
        The longest stretch of stillness that ended with a motion, in updates.
    hops : ndarray, shape (grids, tokens)
        Updates that moved one component by one ulp.
    """

    updates: int
    last_motion: np.ndarray
    last_in_phase: np.ndarray
    thaws: np.ndarray
    longest_broken: np.ndarray
    hops: np.ndarray

    @classmethod
    def of(cls, tokens: int) -> "Lives":
        """Return the lives of so many tokens before the first update."""
        shape = (len(GRIDS), tokens)
        none = [np.zeros(shape, np.int64) for _ in range(4)]
        return cls(0, none[0], np.zeros((*shape, len(PHASES)), np.int64), *none[1:])

    def follow(self, phase: np.ndarray, hop: np.ndarray, updates: np.ndarray | None = None) -> None:
        """Follow the tokens through the next updates.

        Parameters
        ----------
        phase : ndarray of uint8, shape (grids, tokens, updates)
        hop : ndarray of bool, same shape
        updates : ndarray of int, shape (updates,), optional
            Their numbers, if some are left out: each then stands for those since the one before.
        """
        if updates is None:
            updates = np.arange(self.updates + 1, self.updates + 1 + phase.shape[-1])
        before = np.concatenate([[self.updates], updates])[:-1]
        moved = phase != FROZEN
        last = np.maximum.accumulate(
            np.concatenate([self.last_motion[..., None], moved * updates], axis=-1), axis=-1
        )
        broken = moved * (before - last[..., :-1])
        self.thaws += np.count_nonzero(broken, axis=-1)
        self.longest_broken = np.maximum(self.longest_broken, broken.max(axis=-1, initial=0))
        for index in range(len(PHASES)):
            latest = ((phase == index) * updates).max(axis=-1, initial=0)
            self.last_in_phase[..., index] = np.maximum(self.last_in_phase[..., index], latest)
        self.hops += np.count_nonzero(hop, axis=-1)
        self.last_motion = last[..., -1]
        self.updates = int(max(self.updates, updates.max(initial=0)))

    @property
    def final_still(self) -> np.ndarray:
        """Length of the stillness in which the record ends, (grids, tokens), in updates."""
        return self.updates - self.last_motion

    @property
    def longest_still(self) -> np.ndarray:
        """Length of the longest stillness, the last one counted, (grids, tokens), in updates."""
        return np.maximum(self.longest_broken, self.final_still)

    @property
    def moving(self) -> np.ndarray:
        """Whether the last update moved the token, (grids, tokens)."""
        return self.final_still == 0

    @property
    def unsettled(self) -> np.ndarray:
        """Whether the last stillness is short, or no longer than a broken one, (grids, tokens).

        Short is below LASTING. Such a token, or one that is moving, may well move again: it has not
        shown that it froze.
        """
        return self.final_still <= np.maximum(self.longest_broken, LASTING - 1)

    def lasts_since(self, update: np.ndarray) -> np.ndarray:
        """Return whether what began after the given updates lasted LASTING updates, to the end."""
        return self.updates - update >= LASTING

    @property
    def last_jitter(self) -> np.ndarray:
        """The last update with more than hops (early or midlife), (grids, tokens); 0: none."""
        return self.last_in_phase[..., :LATE].max(axis=-1)
