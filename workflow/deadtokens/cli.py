"""The command line: what is common to all commands, and ``deadtokens COMMAND ...`` itself.

Each stage's module has a ``main(arguments)``; rules and people run it by its name in `COMMANDS`.
All take ``--log FILE`` besides.
"""

import logging
import os
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deadtokens.errors import UserError

COMMANDS = {
    "corpus": "deadtokens.text.corpus",
    "vocabulary": "deadtokens.text.vocabulary",
    "stream": "deadtokens.text.stream",
    "census": "deadtokens.text.census",
    "train": "deadtokens.training.train",
    "verify": "deadtokens.verify",
    "scalars": "deadtokens.trajectory.scalars",
    "freezing": "deadtokens.freezing.freezing",
    "sharpening": "deadtokens.freezing.sharpening",
    "audit": "deadtokens.audit.audit",
    "drift": "deadtokens.drift.drift",
    "animation": "deadtokens.figures.animation",
    "stillness": "deadtokens.stillness.stillness",
    "attribution": "deadtokens.attribution.attribution",
    "backprop": "deadtokens.backprop.backprop",
    "gradients": "deadtokens.gradients.gradients",
    "initial_softmax": "deadtokens.gradients.initial_softmax",
    "tensors": "deadtokens.costs.tensors",
    "storage": "deadtokens.costs.storage",
    "figure": "deadtokens.figures.draw",
    "config": "deadtokens.study.document",
    "size": "deadtokens.study.size",
}


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Run a stage's `main` with the process's arguments; end in one sentence if the user can help.

    ``--log FILE`` is taken out of the arguments: the log lines go to standard error and there.
    """
    arguments, log = _without_log(sys.argv[1:])
    with _reported(log):
        main(arguments)


def deadtokens() -> None:
    """Run ``deadtokens COMMAND ARGUMENTS...``."""
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command not in COMMANDS:
        print(f"usage: deadtokens {{{','.join(COMMANDS)}}} [--help] ...", file=sys.stderr)
        sys.exit(0 if command in {"-h", "--help"} else 2)
    os.environ["MPLBACKEND"] = "agg"  # no window; what Jupyter sets is a module of its own
    # Libraries' sums are the same on any number of cores, and no thread waits by spinning; a
    # training takes its own number of threads besides.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    arguments, log = _without_log(sys.argv[2:])
    sys.argv = [f"deadtokens {command}", *arguments]
    with _reported(log):
        runpy.run_module(COMMANDS[command], run_name="__main__")


@contextmanager
def _reported(log: Path | None) -> Iterator[None]:
    """Tell standard error and the log what happens, and how it ends."""
    _start_logging(log)
    try:
        yield
    except UserError as error:
        logging.error("deadtokens: %s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        logging.exception("deadtokens: a fault of the program; please report it with these lines")
        sys.exit(1)


def _start_logging(log: Path | None) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log is not None:
        handlers.append(_log_file(log))
    for handler in handlers:
        handler.addFilter(_is_ours_or_serious)
    logging.raiseExceptions = False  # a full disk takes no more lines: that is no news by then
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers)


def _log_file(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(path, mode="w", encoding="utf-8")
    except OSError as error:
        sys.exit(f"deadtokens: {path}: the log cannot be written ({error.strerror})")


def _is_ours_or_serious(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.startswith(("deadtokens", "__main__"))


def _without_log(arguments: Sequence[str]) -> tuple[list[str], Path | None]:
    """Take ``--log FILE`` or ``--log=FILE`` out of the arguments."""
    log, others, remaining = None, [], iter(arguments)
    for argument in remaining:
        name, equals, file = argument.partition("=")
        if name != "--log":
            others.append(argument)
            continue
        log = file if equals else next(remaining, "")
        if not log:
            sys.exit("deadtokens: --log needs a file name")
    return others, Path(log) if log else None
