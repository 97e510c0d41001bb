"""Recordings that a configuration names: where they lie, what they hold, what they can give."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.identity import claim_of, segment_number
from deadtokens.recording.contents import FILE, Contents, is_being_written, read_contents
from deadtokens.run.known import why_not_replayed, why_unknown
from deadtokens.study.config import Recorded

SEAL = ".seal.json"  # of deadtokens.seal, which needs more than Snakemake's environment has
OF_EVERY_RECORD = ("scalars.nc", "freezing.nc", "drift.nc", "indicators.nc")
OF_EVERY_UPDATE = ("sharpening.nc", "audit.json", "attribution.nc", "stillness.nc")
OF_ALL_ROWS = ("indicators.nc",)
OF_GRADIENTS = ("audit.json", "attribution.nc", "stillness.nc")


@dataclass(frozen=True)
class Recording:
    """A recording as a study sees it.

    Attributes
    ----------
    path : str
        Its folder.
    title : str
    segments : tuple of str
        Paths of the finished ones, in order; none where only `FILE` is here.
    bytes : int
        Of these.
    contents : Contents
    being_written : bool
        Whether a recorder writes there at this moment.
    """

    path: str
    title: str
    segments: tuple[str, ...]
    bytes: int
    contents: Contents
    being_written: bool

    @property
    def is_elsewhere(self) -> bool:
        """Whether it cannot be read here: an archive has what was derived from it alone."""
        return not self.segments

    def why_not(self, file: str, quantity: str = "") -> str:
        """Say why a derived file cannot be had of it, with a quantity; nothing if it can."""
        if quantity and quantity not in self.contents.per_update:
            return f"its {quantity} is not recorded"
        if file not in (*OF_EVERY_RECORD, *OF_EVERY_UPDATE):
            return "it takes the whole model, and a recording has one weight of it"
        if file in OF_EVERY_UPDATE and not self.contents.every_update:
            return "it takes every update, and not each is recorded"
        if file in OF_ALL_ROWS and self.contents.rows < self.contents.vocabulary_size:
            return "it takes all rows of W, and not each is recorded"
        if file not in OF_GRADIENTS:
            return ""
        if "grad" not in self.contents.tensors:
            return "it takes the gradients, which are not recorded"
        rule, numbers = self.contents.rule, self.contents.numbers
        if file == "audit.json":
            return why_not_replayed(rule)
        decays = bool(numbers.get("weight_decay")) or "weight_decay" in self.contents.changing
        return why_unknown(rule, decays)


def resolve(where: str, entry: Recorded, name: str) -> Recording:
    """Return the recording that an entry of the configuration names.

    Raises
    ------
    UserError
        If there is none, or it is none.
    """
    folder = Path(entry.path)
    try:
        segments = _finished(where, folder)
        size = sum(_sealed_bytes(path) for path in segments)
        if segments and not (folder / FILE).exists() and claim_of(segments[0]):
            raise UserError(
                f"{where}.path: {entry.path!r} has the record of a run of a study, which is no "
                "recording; an experiment names such a run by its settings"
            )
        contents = read_contents(folder)
    except OSError as error:
        raise UserError(
            f"{where}.path: {entry.path!r} cannot be read ({error.strerror}); give the folder of a "
            "recording"
        ) from None
    except UserError as error:
        sentence = str(error)
        raise UserError(
            sentence if sentence.startswith(where) else f"{where}.path: {sentence}"
        ) from None
    paths = tuple(str(path) for path in segments)
    being_written = is_being_written(folder)
    return Recording(entry.path, entry.title or name, paths, size, contents, being_written)


def _finished(where: str, folder: Path) -> list[Path]:
    """Return the sealed segments of a folder, in order; without any its contents must be there."""
    if not folder.is_dir():
        raise UserError(
            f"{where}.path: {str(folder)!r} is no folder; looked for {folder.absolute()}"
        )
    found = {path: segment_number(path) for path in folder.iterdir()}
    paths = sorted((path for path in found if found[path] is not None), key=found.get)
    unsealed = [path for path in paths if not os.path.exists(f"{path}{SEAL}")]
    if unsealed and not is_being_written(folder):
        raise UserError(
            f"{where}.path: {unsealed[0]} is not sealed, so it may be incomplete; let the "
            "recording go on, or move the file elsewhere"
        )
    sealed = [path for path in paths if path not in unsealed]
    if sealed or (folder / FILE).exists():
        return sealed
    if is_being_written(folder):
        raise UserError(
            f"{where}.path: {str(folder)!r} is being written and has no finished segment yet; wait "
            "for its first one"
        )
    raise UserError(
        f"{where}.path: {str(folder)!r} has no segment of a recording (segment-000.nc, ...); give "
        "the folder that a Recorder wrote"
    )


def _sealed_bytes(path: Path) -> int:
    """Return how large a segment is, by its seal."""
    try:
        return int(json.loads(Path(f"{path}{SEAL}").read_text(encoding="utf-8"))["bytes"])
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path}{SEAL}: is damaged; `deadtokens verify` says what is whole"
        ) from None
