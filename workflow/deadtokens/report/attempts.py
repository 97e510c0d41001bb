"""Analyses and figures of a record, each for itself: what one cannot say stops no other."""

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deadtokens.audit.reading import read_audit
from deadtokens.cli import call
from deadtokens.errors import FAULT, UserError, refusal_of_the_system
from deadtokens.extras import missing
from deadtokens.netcdf import read_derived
from deadtokens.seal import seal_path
from deadtokens.study.figures import ANIMATION, FIGURES, Scope
from deadtokens.trajectory.refusal import LEFT_OUT, NOTHING

ANALYSES = {
    "scalars": "scalars.nc",
    "freezing": "freezing.nc",
    "sharpening": "sharpening.nc",
    "drift": "drift.nc",
    "indicators": "indicators.nc",
    "audit": "audit.json",
    "attribution": "attribution.nc",
    "stillness": "stillness.nc",
}
DRAWN_FROM = {
    name: source.file
    for name, source in FIGURES.items()
    if source.scope is Scope.RUNS and source.file in ANALYSES.values()
}
FIGURE_FOLDER = "figures"
PICTURES = {name: f"{FIGURE_FOLDER}/{name}.png" for name in DRAWN_FROM} | {
    ANIMATION: f"{FIGURE_FOLDER}/drift.gif"
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """An analysis, or a figure.

    Attributes
    ----------
    name : str
    path : Path
        What it made, if it did.
    why_not : str
        Why it made nothing, '' if it did.
    """

    name: str
    path: Path
    why_not: str = ""


def analyse(segments: Sequence[Path], output: Path) -> Iterator[Attempt]:
    """Yield each analysis of a record, as it is done."""
    paths = [str(path.absolute()) for path in segments]
    for place, (name, file) in enumerate(ANALYSES.items(), start=1):
        log.info("%d of %d: %s", place, len(ANALYSES), name)
        yield _attempt(name, output / file, [name, *paths])


def draw(files: Mapping[str, Path], output: Path, title: str) -> Iterator[Attempt]:
    """Yield each figure of a record, as it is drawn.

    Parameters
    ----------
    files : mapping of str to Path
        What analyses made, by name.
    output : Path
        The folder in which the figures' folder stands.
    title : str
        What stands small above each figure.
    """
    if why_not := _refusal(lambda: importlib.import_module("deadtokens.figures.style")):
        log.info("no figures: %s", why_not)
        yield from (_in_vain(name, output / path, why_not) for name, path in PICTURES.items())
        return
    for name, file in DRAWN_FROM.items():
        quantity = FIGURES[name].quantity
        if file in files and quantity and quantity not in read_derived(files[file]):
            yield _in_vain(name, output / PICTURES[name], f"the {quantity} is not recorded")
        elif file in files:
            command = ["figure", name, str(files[file].absolute()), f"--title={title}"]
            yield _attempt(name, output / PICTURES[name], command)
    if (drift := FIGURES["path"].file) in files:
        command = ["animation", str(files[drift].absolute()), f"--title={title}"]
        yield _attempt(ANIMATION, output / PICTURES[ANIMATION], command)


def _attempt(name: str, path: Path, command: Sequence[str]) -> Attempt:
    """Let a command make a file; without success none is left that an earlier call made."""
    arguments = [*command[1:], "--output", str(path.absolute())]
    why_not = _refusal(lambda: call(command[0], arguments))
    if why_not:
        log.info("%s: %s", name, why_not)
    else:
        why_not = _said_instead(path)
    return _in_vain(name, path, why_not) if why_not else Attempt(name, path)


def _in_vain(name: str, path: Path, why_not: str) -> Attempt:
    """Return an attempt that made nothing, and remove what an earlier call made."""
    for stale in _files_of(path):
        stale.unlink(missing_ok=True)
    return Attempt(name, path, why_not)


def _said_instead(path: Path) -> str:
    """Return the sentence that a derived file holds in place of what it should, '' if none."""
    if path.name == FIGURES["audit"].file:
        about = read_audit(path)
    elif path.suffix == ".nc":
        about = read_derived(path).attrs
    else:
        return ""
    return str(about[LEFT_OUT]) if NOTHING in about else ""


def _refusal(work: Callable[[], None]) -> str:
    """Do a piece of work, and return why it could not be done, '' if it was."""
    try:
        work()
    except UserError as error:
        return str(error)
    except ImportError as error:
        return str(missing(error.name or "") or f"a package is not installed ({error})")
    except Exception as error:
        if refusal := refusal_of_the_system(error):
            return refusal
        log.exception(FAULT)
        return f"a fault of the program ({type(error).__name__}: {error}); please report it"
    return ""


def _files_of(path: Path) -> list[Path]:
    """Return all files that the command behind a file makes."""
    if path.suffix == ".png":
        return [path.with_suffix(suffix) for suffix in (".png", ".pdf", ".csv")]
    return [path, seal_path(path)]


def all_files() -> list[str]:
    """Return the names of all files that there may be, below the folder of the output."""
    made = [Path(name) for name in (*ANALYSES.values(), *PICTURES.values())]
    return [path.as_posix() for one in made for path in _files_of(one)]
