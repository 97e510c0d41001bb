"""Models of others that a configuration names, whose embeddings are examined."""

import os
from dataclasses import dataclass
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.matrices.sources import WEIGHTS
from deadtokens.study.config import Examined
from deadtokens.study.estimates import USUAL_SHAPE, likely_shape

DOWNLOADED = "results/weights"  # where pinned models lie
DERIVED = "results/models"  # what is made of models; an archive names it in the place of a file
OF_A_MODEL = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".json", ".txt")  # in its folder


@dataclass(frozen=True)
class ExaminedModel:
    """A model as a study sees it.

    Attributes
    ----------
    files : tuple of str
        Paths of what is read of it; it is examined again when one of them is newer. None where only
        what was made of it is here.
    arguments : tuple of str
        Of the command that examines it, without the matrix.
    matrices : tuple of str
        Which are examined.
    source : str
        The pinned model that is downloaded first; '' if none is.
    bytes : int
        Of what is read of it, if that is known before anything is made.
    shape : tuple of int
        Rows and width of a matrix of it, roughly.
    """

    files: tuple[str, ...]
    arguments: tuple[str, ...]
    matrices: tuple[str, ...]
    source: str = ""
    bytes: int = 0
    shape: tuple[int, int] = USUAL_SHAPE

    @property
    def is_elsewhere(self) -> bool:
        """Whether it cannot be read here: an archive has what was made of it alone."""
        return not self.files


def resolve_model(where: str, entry: Examined) -> ExaminedModel:
    """Return the model that an entry of the configuration names.

    Raises
    ------
    UserError
        If a file or folder is not there.
    """
    path = entry.path or f"{DOWNLOADED}/{entry.source}"
    files = [path] if entry.source else _files_of(where, path)
    arguments = [path]
    if entry.tokenizer and files:
        if not Path(entry.tokenizer).is_file():
            raise UserError(
                f"{where}.tokenizer: {entry.tokenizer!r} is no file; looked for "
                f"{Path(entry.tokenizer).absolute()}"
            )
        files.append(entry.tokenizer)
        arguments += ["--tokenizer", entry.tokenizer]
    for key in ("embedding", "unembedding"):
        if name := getattr(entry, key):
            arguments += [f"--{key}", name]
    about = tuple(files), tuple(arguments), tuple(dict.fromkeys(entry.matrices))
    if entry.source:
        pinned = WEIGHTS[entry.source]
        return ExaminedModel(*about, entry.source, pinned.bytes, pinned.shape)
    size = sum(os.path.getsize(file) for file in files if os.path.exists(file))
    return ExaminedModel(*about, bytes=size, shape=likely_shape(size))


def _files_of(where: str, path: str) -> list[str]:
    """Return the file of a model, or those in its folder that can be its own.

    None of a folder of the results, which has what was made of a model.
    """
    place = Path(path)
    if place.is_file():
        return [path]
    found = _models_in(place) if place.is_dir() else []
    if found or place.parent == Path(DERIVED):
        return found
    if not place.is_dir():
        raise UserError(
            f"{where}.path: {path!r} is neither a file nor a folder; looked for {place.absolute()}"
        )
    raise UserError(
        f"{where}.path: {path!r} has no file of a model ({', '.join(OF_A_MODEL[:5])}); give its "
        "file, or the folder that has it"
    )


def _models_in(folder: Path) -> list[str]:
    return sorted(str(file) for file in folder.iterdir() if file.suffix in OF_A_MODEL)
