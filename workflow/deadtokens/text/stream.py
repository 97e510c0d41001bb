"""Encode the training corpus: the stream of token ids that training reads."""

import hashlib
import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import xarray as xr
from tokenizers import Tokenizer

from deadtokens.arguments import add_output
from deadtokens.files import sha256_of
from deadtokens.identity import check_vocabulary, vocabulary_of
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.text.local import read_local
from deadtokens.text.read import digest
from deadtokens.text.vocabulary import pieces, read_tokenizer

log = logging.getLogger(__name__)

_CHARACTERS_AT_A_TIME = 2**19


def encode(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """Encode a text without loss.

    The tokenizer cuts a text after each newline by itself; handing it pieces only saves memory
    (some 200 bytes a byte of text, otherwise).

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        As `deadtokens.text.vocabulary.train_vocabulary` makes it.
    text : str
        Any text, newlines included.

    Returns
    -------
    ndarray of int32, shape (positions,)
        Token ids; decoding them gives `text` back.
    """
    found = [np.empty(0, dtype=np.int32)]
    for block in _blocks(pieces(text)):
        encoded = tokenizer.encode_batch_fast(block, add_special_tokens=False)
        ids = chain.from_iterable(piece.ids for piece in encoded)
        found.append(np.fromiter(ids, dtype=np.int32))
    return np.concatenate(found)


def _blocks(parts: Iterable[str]) -> Iterator[list[str]]:
    block, size = [], 0
    for part in parts:
        block.append(part)
        size += len(part)
        if size >= _CHARACTERS_AT_A_TIME:
            yield block
            block, size = [], 0
    yield block


def labelled(ids: np.ndarray, attributes: Mapping[str, str | int]) -> xr.Dataset:
    """Return the stream as a dataset: ``token(position)`` with the digest of its ids.

    Parameters
    ----------
    ids : ndarray of int32, shape (positions,)
        The token ids.
    attributes : mapping
        What the stream was made from: text_sha256, tokenizer_sha256, vocabulary_size.
    """
    stream = label({"token": ids}, {"token": (("position",), "token id", "1")})
    return stream.assign_attrs({**attributes, "stream_sha256": digest(ids)})


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="FILE")
    parser.add_argument("--text", type=Path, required=True, metavar="FILE", help="training text")
    add_output(parser)


def main(options: Namespace) -> None:
    """Encode the text and write the stream."""
    tokenizer = read_tokenizer(options.tokenizer)
    data = read_local(options.text)
    ids = encode(tokenizer, data.decode("utf-8"))
    made_from = {
        "text_sha256": hashlib.sha256(data).hexdigest(),
        "tokenizer_sha256": sha256_of(options.tokenizer),
        "vocabulary_size": tokenizer.get_vocab_size(),
    }
    vocabulary = vocabulary_of(options.output)
    if vocabulary is not None:
        made_from["vocabulary"] = vocabulary
    check_vocabulary(options.output, made_from)
    write(labelled(ids, made_from), options.output)
    log.info("stream: %d tokens from %d bytes", ids.size, len(data))
