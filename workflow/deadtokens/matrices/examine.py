"""Examine an embedding matrix of any model: rows that are alike, rows that training has not moved.

The model is a safetensors file or an index of several, a GGUF file, a checkpoint of PyTorch or of a
run, or a folder that has one of these. It is read where it lies and never as a whole. Or it is the
record of a training: then its last W is examined, and which tokens are dead is known.
"""

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import xarray as xr

from deadtokens.arguments import add_output
from deadtokens.errors import UserError
from deadtokens.identity import segment_number
from deadtokens.matrices.examination import best_indicator, examine
from deadtokens.matrices.indicators import INDICATORS
from deadtokens.matrices.matrix import Matrix, Model
from deadtokens.matrices.open import open_model
from deadtokens.matrices.record import W, is_record, read_record
from deadtokens.matrices.tokenizer import GGUF, Vocabulary, read_vocabulary, vocabulary_of_gguf
from deadtokens.matrices.tokens import Tokens, describe, write_tokens
from deadtokens.netcdf import write

log = logging.getLogger(__name__)

EMBEDDING, UNEMBEDDING = "embedding", "unembedding"
TRAJECTORY = "trajectory"  # the folder of a run's segments, within that of the run
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt")  # looked for beside a model


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "model",
        type=Path,
        nargs="+",
        help="file or folder of the model; or the segments of a run, or the folder of a record",
    )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FILE",
        help=f"{', '.join(TOKENIZERS)}; else what lies beside the model, or its own header",
    )
    parser.add_argument("--embedding", metavar="NAME", help="what the file calls that matrix")
    parser.add_argument("--unembedding", metavar="NAME", help="the same of the outputs' matrix")
    parser.add_argument(
        "--of",
        choices=(EMBEDDING, UNEMBEDDING, W),
        help=f"the matrix that is examined (default: {EMBEDDING}; of a record {W})",
    )
    parser.add_argument("--name", help="what the model is called (default: by its path)")
    add_output(parser)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="table of the suspects to write")


def main(options: Namespace) -> None:
    """Examine a matrix, and say what stands out."""
    matrix, tokens, of = _of_record(options) if is_record(options.model) else _of_model(options)
    name = options.name or _name(options.model[0])
    found = examine(matrix, tokens).assign_attrs(model=name, of=of)
    write(found, options.output)
    if options.csv:
        write_suspects(found, tokens, options.csv)
    log.info(f"examine {name}: {summary(found)}")


def _name(path: Path) -> str:
    """Return what a model is called: its file or folder, of a run's segments the run."""
    if segment_number(path) is not None:
        path = path.parent
    return path.absolute().parent.name if path.name == TRAJECTORY else path.absolute().name


def _of_record(options: Namespace) -> tuple[Matrix, Tokens, str]:
    given = ("tokenizer", EMBEDDING, UNEMBEDDING)
    needless = [f"--{name}" for name in given if getattr(options, name)]
    needless += ["--of"] if options.of not in (None, W) else []
    if needless:
        raise UserError(
            f"{options.model[0]}: is of the record of a training, which has one matrix and its "
            f"tokens; leave out {', '.join(needless)}"
        )
    return *read_record(options.model), W


def _of_model(options: Namespace) -> tuple[Matrix, Tokens, str]:
    path, *others = options.model
    if others:
        raise UserError(f"{others[0]}: one model is examined at a time, and {path} is another one")
    if options.of == W:
        raise UserError(f"{path}: is no record of a training; leave out --of {W}")
    model = open_model(path, options.embedding, options.unembedding)
    of = options.of or EMBEDDING
    matrix = model.embedding if of == EMBEDDING else model.unembedding
    if matrix is None:
        raise UserError(f"{path}: has one matrix for inputs and outputs; leave out --of {of}")
    if options.of is None and model.unembedding is not None:
        log.info(f"examine {path}: the unembedding is another matrix: --of {UNEMBEDDING}")
    vocabulary = _vocabulary(model, path, matrix.tokens, options.tokenizer)
    return matrix, describe(vocabulary, matrix.tokens), of


def _vocabulary(model: Model, path: Path, rows: int, tokenizer: Path | None) -> Vocabulary:
    """Return the vocabulary of a model: the given one, its header's, or what lies beside it."""
    if tokenizer:
        return read_vocabulary(tokenizer, rows)
    if f"{GGUF}tokens" in model.metadata:
        return vocabulary_of_gguf(model.metadata, rows)
    folder = path if path.is_dir() else path.parent
    for name in TOKENIZERS:
        if (folder / name).is_file():
            return read_vocabulary(folder / name, rows)
    raise UserError(
        f"{path}: has no vocabulary, nor has its folder ({', '.join(TOKENIZERS)}); "
        "name one by --tokenizer"
    )


def write_suspects(found: xr.Dataset, tokens: Tokens, path: Path) -> None:
    """Write the suspects as a table: those of the largest clusters first, then by the indicator."""
    suspects = np.flatnonzero(found["why"].values != "")
    tokens_of = dict(zip(found["hole_first"].values, found["hole_tokens"].values, strict=True))
    hole = _hole(found)
    size = np.array([tokens_of.get(first, 0) for first in hole])
    order = np.lexsort(
        (found[best_indicator(found)].values[suspects], hole[suspects], -size[suspects])
    )
    suspects = suspects[order]
    measures = {name: found[name].values[suspects] for name in ("why", "population")}
    measures["hole"] = np.where(size[suspects] > 1, hole[suspects], -1)
    measures |= {name: found[name].values[suspects] for name in INDICATORS if name in found}
    write_tokens(tokens, suspects.tolist(), path, measures)


def _hole(found: xr.Dataset) -> np.ndarray:
    """Return for each token the first one of its cluster within a unit, as `hole_first` has it."""
    if "cluster" in found:
        return found["cluster"].sel(distance="Linf", units=1).values
    return found["first_alike"].values


def summary(found: xr.Dataset) -> str:
    """Return what stands out, in a sentence."""
    alike = int((found["population"] > 1).sum())
    said = f"{found.sizes['token']:,} rows, {alike:,} that share their bits with others; "
    if found.sizes["hole"]:
        first = found.isel(hole=0)
        said += (
            f"the largest cluster has {int(first['hole_tokens']):,} on "
            f"{int(first['hole_vectors']):,} vectors within one unit; "
        )
    if "cloud_tokens" in found:
        kind = "known to be unused" if found.attrs["known_tokens"] else "that share their bits"
        said += (
            f"{int(found['shell_of_others']):,} others are in the cloud of the "
            f"{int(found['cloud_tokens']):,} rows {kind}; "
        )
    return said + f"{found.attrs['suspects']:,} suspects"
