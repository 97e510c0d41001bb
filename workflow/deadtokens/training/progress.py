"""The line that says how a training goes."""

import logging
import time

SECONDS_BETWEEN_LINES = 5.0
ESTIMATE_AFTER = 10  # updates: how long the segment will take is told before long, however slow


class Progress:
    """Logs an early line, then one every few seconds, and one at the end.

    Whole lines, not a bar that moves: several runs may train at once in one terminal.

    Parameters
    ----------
    name : str
        The run.
    first, last : int
        Updates already applied, and the last one.
    """

    def __init__(self, name: str, first: int, last: int):
        self.name, self.first, self.last = name, first, last
        self.update = first
        self.begin = self.spoken = time.monotonic()

    def __call__(self, update: int, loss: float) -> None:
        """Tell of `update`, the last one applied, if it is time to."""
        now = time.monotonic()
        early = self.update < self.first + ESTIMATE_AFTER <= update
        self.update, due = update, early or update == self.last
        if not due and now - self.spoken < SECONDS_BETWEEN_LINES:
            return
        self.spoken = now
        speed = (update - self.first) / (now - self.begin)
        minutes, seconds = divmod(round((self.last - update) / speed), 60)
        logging.getLogger(__name__).info(
            f"train {self.name}: update {update:,}/{self.last:,}, {speed:.1f} updates/s, "
            f"loss {loss:.3f}, {minutes}:{seconds:02d} left of the segment"
        )
