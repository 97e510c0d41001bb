"""A generator that runs in a process of its own: what it yields arrives here one by one."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from typing import Any

from deadtokens.errors import UserError


@contextmanager
def in_own_process(function: Callable[..., Iterator], *arguments: Any) -> Iterator[Iterator]:
    """Give what ``function(*arguments)`` yields; its process begins at once, ends with the block.

    It is at most one item ahead of what was taken from it. What it raises is raised here.

    Raises
    ------
    UserError
        If the process was killed.
    """
    receiving, sending = Pipe(duplex=False)
    process = Process(target=_send_all, args=(sending, function, arguments), daemon=True)
    process.start()
    sending.close()
    try:
        yield _received(receiving)
    finally:
        process.terminate()
        process.join()
        receiving.close()


def _send_all(sending: Connection, function: Callable[..., Iterator], arguments: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that began this one ends it
    try:
        for item in function(*arguments):
            sending.send((True, item))
        sending.send((False, None))
    except Exception as error:
        sending.send((False, error))


def _received(receiving: Connection) -> Iterator:
    try:
        while (message := receiving.recv())[0]:
            yield message[1]
    except EOFError:
        raise UserError(
            "a process that computed part of the tokens was killed; give it more memory, then run "
            "it again"
        ) from None
    if message[1] is not None:
        raise message[1]
