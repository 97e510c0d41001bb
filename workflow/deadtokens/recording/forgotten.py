"""The records of recorders that nobody closed: a thread finishes them, and exit waits for it.

Such a record ends with the training's optimizer, which the garbage collector may find in the midst
of anything: of a call of HDF5, say, whose lock its thread then holds. There nothing may be written,
and to wait for threads that need the lock would never end. So the collector hands the record over
and no more: it does not even start the thread, which takes locks, too.
"""

import atexit
import gc
import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread

Task = Callable[[], None]


class Finisher:
    """Does tasks in a thread, one after the other.

    A forked process has no such thread: it keeps what it is given, and does nothing with it.
    """

    def __init__(self):
        self._process = os.getpid()
        self._tasks: SimpleQueue[Task] = SimpleQueue()  # the one queue that the collector may use

    def start(self) -> None:
        """Begin to do tasks; the process ends when those are done that were given by then."""
        # A daemon, which does not keep the process from getting as far as `atexit`.
        Thread(target=self._work, name="finishing forgotten records", daemon=True).start()
        atexit.register(self.wait)

    def give(self, task: Task) -> None:
        """Hand a task over, which lets no exception out; takes no lock, so that anyone may call."""
        self._tasks.put(task)

    def wait(self) -> None:
        """Wait until all is done that was given before."""
        if os.getpid() == self._process:
            done = Event()
            self._tasks.put(done.set)
            done.wait()

    def _work(self) -> None:
        while True:
            self._tasks.get()()


def finisher() -> Finisher:
    """Return the one of this process, which is made on demand."""
    new = Finisher()
    kept = _FINISHERS.setdefault(os.getpid(), new)
    if kept is new:
        new.start()
    return kept


def finish_forgotten() -> None:
    """Have the collector look for trainings that are gone, and finish the records of them."""
    gc.collect()
    finisher().wait()


_FINISHERS: dict[int, Finisher] = {}  # by process: what a forked one was not given is not its own
