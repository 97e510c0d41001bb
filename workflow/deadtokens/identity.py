"""Names that are made from content, compared with the content when it is read.

A run's name ends in a hash of its spec, a corpus's in one of its text. A file in a folder of such a
name is held to it: it must be of that run, that segment, that many updates. A folder of any other
name claims nothing, so a copy may lie anywhere.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from deadtokens.errors import UserError
from deadtokens.models import short_digest

# Eight digits that are a day, as in backup_20260131, are no hash of ours (save one in 2,000).
DIGEST = r"(?!(?:19|20)\d{6}$)(?P<digest>[0-9a-f]{8})"
RUN = re.compile(rf".+_{DIGEST}")
CORPUS = re.compile(rf".+-{DIGEST}")
VOCABULARY = re.compile(rf"bpe-(?P<size>\d+)-{DIGEST}")
STEPS = re.compile(r"steps-(?P<number>\d+)")
SEGMENT = re.compile(r"segment-(?P<number>\d+)\.nc")
CHECKPOINT = re.compile(r"checkpoint-(?P<number>\d+)\.safetensors")
PUT_BACK = "put it where it belongs, and what belongs here in its place"


@dataclass(frozen=True)
class Claim:
    """What the place of a file says that it is.

    Attributes
    ----------
    run : str
    number : int or None
        Of a segment, or of the segment before a checkpoint.
    steps : int or None
        Updates of the run behind a derived file.
    """

    run: str
    number: int | None = None
    steps: int | None = None


def claim_of(path: Path) -> Claim | None:
    """Return what a file's folders and name say of it, None if they are no names of ours."""
    folder = path.absolute().parent
    for parent, name in (("trajectory", SEGMENT), ("checkpoints", CHECKPOINT)):
        found = name.fullmatch(path.name)
        if folder.name == parent and found and RUN.fullmatch(folder.parent.name):
            return Claim(folder.parent.name, number=int(found["number"]))
    steps = STEPS.fullmatch(folder.name)
    if steps and RUN.fullmatch(folder.parent.name):
        return Claim(folder.parent.name, steps=int(steps["number"]))
    return Claim(folder.name) if RUN.fullmatch(folder.name) else None


def segment_number(path: Path) -> int | None:
    """Return the number in a segment's file name, None if it is named otherwise."""
    found = SEGMENT.fullmatch(path.name)
    return int(found["number"]) if found else None


def check_run(path: Path, run: str, spec: str) -> None:
    """Compare the run that a file names with the spec in it and with the file's folder.

    The hash is that of the spec's text: a later version of the package reads old files too.

    Raises
    ------
    UserError
        If one of them is that of another run.
    """
    named, claim = RUN.fullmatch(run), claim_of(path)
    if named and short_digest(content_of(path, spec)) != named["digest"]:
        raise UserError(
            f"{path}: calls itself run {run}, but its spec is that of another run; {PUT_BACK}"
        )
    if claim and run != claim.run:
        raise UserError(
            f"{path}: is of run {run}, but lies in the folder of run {claim.run}; {PUT_BACK}"
        )


def content_of(path: Path, spec: str) -> dict[str, Any]:
    """Return a spec in a file as JSON, whatever version of the package wrote it.

    Raises
    ------
    UserError
        If it is no JSON object.
    """
    try:
        content = json.loads(spec)
    except (TypeError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path}: the spec of the run in it is no JSON object; {PUT_BACK}")
    return content


def updates_per_segment(path: Path, spec: str) -> int:
    """Return how many updates a segment of a run has, by the spec in a file.

    Raises
    ------
    UserError
        If the spec does not say.
    """
    try:
        return int(content_of(path, spec)["record"]["segment"])
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path}: the spec in it does not say how long a segment is; {PUT_BACK}"
        ) from None


def check_derived(path: Path, attributes: Mapping[str, Any]) -> None:
    """Compare what a derived file says of the run behind it with its spec and its folder.

    Raises
    ------
    UserError
        If it is of another run or of another number of updates.
    """
    claim = claim_of(path)
    if "run" in attributes and "spec" in attributes:
        check_run(path, str(attributes["run"]), attributes["spec"])
    elif claim:
        raise UserError(f"{path}: does not say of which run it is; {PUT_BACK}")
    if claim and claim.steps is not None:
        updates = attributes.get("updates")
        if not _fits(updates, attributes.get("status"), claim.steps):
            raise UserError(
                f"{path}: is made from {updates} updates, but its folder is that of "
                f"{claim.steps:,}; {PUT_BACK}"
            )


def _fits(updates: Any, status: Any, steps: int) -> bool:
    """Return whether a run of so many steps has so many updates: all, or fewer if it diverged."""
    if not isinstance(updates, Integral):
        return False
    return updates < steps if status == "diverged" else updates == steps


def check_text(path: Path, sha256: str) -> None:
    """Compare the digest of a corpus's text with the name of its folder.

    A text is held to it if the note on the corpus stands beside it: a text of the user's own may
    lie in a folder of any name.

    Raises
    ------
    UserError
        If it is another text.
    """
    folder = path.absolute().parent
    named = CORPUS.fullmatch(folder.name)
    ours = path.name == "text.txt" and (folder / "corpus.json").is_file()
    if ours and named and not sha256.startswith(named["digest"]):
        raise UserError(
            f"{path}: is not the text that the name of its folder stands for (its SHA-256 begins "
            f"with {sha256[:8]}); {PUT_BACK}"
        )


def vocabulary_of(path: Path) -> str | None:
    """Return the vocabulary whose folder a file lies in, None if the folder is no such."""
    name = path.absolute().parent.name
    return name if VOCABULARY.fullmatch(name) else None


def check_vocabulary(path: Path, attributes: Mapping[str, Any]) -> None:
    """Compare the vocabulary of which a stream or a census is with the folder that it lies in.

    Raises
    ------
    UserError
        If it is of another one.
    """
    folder = vocabulary_of(path)
    if folder is None:
        return
    named, size = attributes.get("vocabulary", folder), attributes["vocabulary_size"]
    if named != folder:
        problem = f"is of the vocabulary {named}"
    elif f"{size}" != VOCABULARY.fullmatch(folder)["size"]:
        problem = f"is of a vocabulary of {size} tokens"
    else:
        return
    raise UserError(f"{path}: {problem}, but lies in the folder of {folder}; {PUT_BACK}")
