"""The line that says how a training goes."""

import logging
import time

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Logs a line every few seconds, and one at the end.

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
        self.begin = self.spoken = time.monotonic()

    def __call__(self, update: int, loss: float) -> None:
        """Tell of `update`, if it is time to."""
        now = time.monotonic()
        if now - self.spoken < SECONDS_BETWEEN_LINES and update != self.last:
            return
        self.spoken = now
        speed = (update - self.first) / (now - self.begin)
        minutes, seconds = divmod(round((self.last - update) / speed), 60)
        logging.getLogger(__name__).info(
            f"train {self.name}: update {update:,}/{self.last:,}, {speed:.1f} updates/s, "
            f"loss {loss:.3f}, {minutes}:{seconds:02d} left of the segment"
        )
