"""Models of others that a configuration names, whose embeddings are examined."""

from dataclasses import dataclass
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.study.config import Examined

DOWNLOADED = "results/weights"  # where pinned models lie
OF_A_MODEL = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".json", ".txt")  # in its folder


@dataclass(frozen=True)
class ExaminedModel:
    """A model as a study sees it.

    Attributes
    ----------
    files : tuple of str
        Paths of what is read of it; it is examined again when one of them is newer.
    arguments : tuple of str
        Of the command that examines it, without the matrix.
    matrices : tuple of str
        Which are examined.
    """

    files: tuple[str, ...]
    arguments: tuple[str, ...]
    matrices: tuple[str, ...]


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
    if entry.tokenizer:
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
    return ExaminedModel(tuple(files), tuple(arguments), tuple(dict.fromkeys(entry.matrices)))


def _files_of(where: str, path: str) -> list[str]:
    """Return the file of a model, or those in its folder that can be its own."""
    place = Path(path)
    if place.is_file():
        return [path]
    if not place.is_dir():
        raise UserError(
            f"{where}.path: {path!r} is neither a file nor a folder; looked for {place.absolute()}"
        )
    found = sorted(str(file) for file in place.iterdir() if file.suffix in OF_A_MODEL)
    if not found:
        raise UserError(
            f"{where}.path: {path!r} has no file of a model ({', '.join(OF_A_MODEL[:5])}); "
            "give its file, or the folder that has it"
        )
    return found
