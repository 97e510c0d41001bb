"""Reading ahead: what comes next is begun before the caller has what is there."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Read = TypeVar("Read")


def ahead(begun: Iterable[Callable[[], Read]], count: int = 1) -> Iterator[Read]:
    """Yield what each of `begun` returns, the next `count` of them begun already.

    A result and what made it are forgotten as soon as they are handed over: of large ones as many
    are in memory as are begun, and the caller's.

    Parameters
    ----------
    begun : iterable of callable
        Taking one from it begins something, calling that one waits for the result.
    count : int
    """
    waiting: deque[Callable[[], Read]] = deque()
    for finish in begun:
        waiting.append(finish)
        del finish  # or it would keep what it made
        if len(waiting) > count:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()
