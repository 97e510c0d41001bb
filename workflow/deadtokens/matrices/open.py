"""A model's embedding and unembedding, found in whatever files it is."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.matrices.gguf import MAGIC, read_gguf
from deadtokens.matrices.matrix import Model
from deadtokens.matrices.safetensors_file import LENGTH, read_safetensors
from deadtokens.matrices.stored import (
    LARGEST_HEADER,
    ZIP,
    Contents,
    Stored,
    distinct,
    matrix_of,
    shown,
    unreadable,
)

# What models call them; a wrapper may have put its own name and a dot before.
EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "embed_in.weight",
    "token_embd.weight",
    "tok_embeddings.weight",
    "shared.weight",
    "embedding.weight",
    "embedding.weight/weight",  # of a run's checkpoint
)
UNEMBEDDINGS = (
    "lm_head.weight",
    "embed_out.weight",
    "output.weight",
    "unembedding.weight",
    "unembedding.weight/weight",
    "cls.predictions.decoder.weight",
)
INDEX = ".index.json"
# In a folder, by preference; of several that fit one pattern, those of these names.
PATTERNS = (
    f"*.safetensors{INDEX}",
    "*.safetensors",
    "*.gguf",
    f"*.bin{INDEX}",
    "*.bin",
    "*.pt",
    "*.pth",
)
WHOLE = ("model.safetensors", "pytorch_model.bin")
LISTED = 8  # tensors in a sentence


def open_model(path: Path, embedding: str | None = None, unembedding: str | None = None) -> Model:
    """Find the matrices of a model; their numbers stay in the files.

    Parameters
    ----------
    path : Path
        A safetensors file, an index of several, a GGUF file, a checkpoint of PyTorch, a checkpoint
        of a run, or a folder that has one of these.
    embedding, unembedding : str or None
        What the files call the matrices; without a name they are found by those of known models.

    Returns
    -------
    Model
        Its `unembedding` is None if it is the same bytes as the embedding, or if no tensor with a
        row for each token has the name of one.

    Raises
    ------
    UserError
        If a file is damaged, or not what it says, or of a kind or quantization that is not read;
        if no name is known, or several are.
    """
    contents = read_contents(Path(path))
    inputs = _named(contents, embedding) if embedding else _embedding(contents)
    outputs = _named(contents, unembedding) if unembedding else _unembedding(contents, inputs)
    first = matrix_of(inputs)
    if outputs is None or outputs.is_same_as(inputs):
        return Model(first, None, contents.metadata)
    second = matrix_of(outputs)
    if second.tokens != first.tokens:
        raise UserError(
            f"{contents.path}: {outputs} has no row for each token of {inputs}; give the name of "
            "another `unembedding`"
        )
    return Model(first, second, contents.metadata)


def read_contents(path: Path) -> Contents:
    """Return what a model's file, its shards or its folder hold, as `open_model` takes them."""
    try:
        file = _file_in(path) if path.is_dir() else path
        return _shards(file) if file.name.endswith(INDEX) else _reader(file)(file)
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be read ({error.strerror})") from None


def _file_in(folder: Path) -> Path:
    for pattern in PATTERNS:
        files = sorted(folder.glob(pattern))
        whole = [file for file in files if file.name in WHOLE]
        if len(whole or files) == 1:
            return (whole or files)[0]
        if files:
            names = _listed(shown(file.name) for file in files)
            raise UserError(f"{folder} has several models: {names}; give the path of one")
    raise UserError(f"{folder} has no model ({', '.join(PATTERNS)}); give the path of a file")


def _shards(index: Path) -> Contents:
    """Return what the files of an index hold, of each the tensors that the index has there."""
    places = _places(index)
    shards = {name: _shard(index.parent / name) for name in sorted(set(places.values()))}
    tensors = {}
    for name, shard in places.items():
        if name not in shards[shard].tensors:
            raise unreadable(index, "index", f"{shown(name)} is not in {shown(shard)}")
        tensors[name] = shards[shard].tensors[name]
    return Contents(index, tensors, {})


def _shard(file: Path) -> Contents:
    return _reader(file)(file)


def _places(index: Path) -> dict[str, str]:
    """Return the names of tensors and of their files, which are beside the index."""
    try:
        if index.stat().st_size > LARGEST_HEADER:
            raise ValueError("it is too large")
        content = json.loads(index.read_bytes(), object_pairs_hook=distinct)
        places = content["weight_map"]
        for shard in places.values():
            if not _is_plain(shard):
                raise ValueError(f"{shown(str(shard))} is not the name of a file beside it")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable(index, "index of shards", error) from None
    return places


def _is_plain(name: object) -> bool:
    """Whether a name from a file is that of a file, not a path that may lead elsewhere."""
    return isinstance(name, str) and name not in ("", "..") and not set(name) & set("/\\\0")


def _reader(file: Path) -> Callable[[Path], Contents]:
    """Choose by the first bytes; by the name where they say nothing."""
    if not file.is_file():
        what = "is no file" if file.exists() else "does not exist"
        raise UserError(f"{file} {what}; give a model's file, or its folder")
    with file.open("rb") as opened:
        begin = opened.read(LENGTH + 1)
    if begin.startswith(MAGIC) or file.suffix == ".gguf":
        return read_gguf
    if begin[LENGTH:] == b"{" or file.suffix == ".safetensors":
        return read_safetensors
    if begin.startswith((ZIP, b"\x80")) or file.suffix in (".bin", ".pt", ".pth"):
        from deadtokens.matrices.torch_file import read_torch  # needs torch, which takes seconds

        return read_torch
    raise UserError(
        f"{file}: neither safetensors nor GGUF nor a checkpoint of PyTorch; give a model's file"
    )


def _named(contents: Contents, name: str) -> Stored:
    if name not in contents.tensors:
        raise UserError(f"{contents.path}: has no tensor {name!r}; {_largest(contents)}")
    return contents.tensors[name]


def _embedding(contents: Contents) -> Stored:
    found = _known(contents, EMBEDDINGS)
    if not found:
        raise UserError(
            f"{contents.path}: no tensor has the name of a known model's embedding; give its name "
            f"as `embedding`: {_largest(contents)}"
        )
    return _only(contents, found, "embedding")


def _unembedding(contents: Contents, inputs: Stored) -> Stored | None:
    found = [it for it in _known(contents, UNEMBEDDINGS) if it.shape[:1] == inputs.shape[:1]]
    return _only(contents, found, "unembedding") if found else None


def _known(contents: Contents, names: tuple[str, ...]) -> list[Stored]:
    """Return the tensors that have one of these names, behind a wrapper's or alone."""
    endings = tuple(f".{name}" for name in names)
    return [it for name, it in contents.tensors.items() if f".{name}".endswith(endings)]


def _only(contents: Contents, found: list[Stored], key: str) -> Stored:
    if not all(it.is_same_as(found[0]) for it in found):
        raise UserError(
            f"{contents.path}: {len(found)} tensors have the name of an {key}: "
            f"{_listed(found)}; give the name of one as `{key}`"
        )
    return found[0]


def _largest(contents: Contents) -> str:
    """Return the matrices with the most rows, in words."""
    matrices = [it for it in contents.tensors.values() if len(it.shape) == 2]
    matrices.sort(key=lambda it: -it.shape[0])
    return f"its matrices are {_listed(matrices)}" if matrices else "it has no matrix"


def _listed(things: Iterable[object]) -> str:
    words = [str(thing) for thing in things]
    rest = f" and {len(words) - LISTED:,} more" if len(words) > LISTED else ""
    return ", ".join(words[:LISTED]) + rest
