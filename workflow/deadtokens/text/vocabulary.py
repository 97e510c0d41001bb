r"""Train a byte-level BPE vocabulary, and read what its tokens are made of.

A text is cut after every newline, and the newline stays with the line that it ends. The cut is
part of the tokenizer itself (the first step of its pre-tokenizer), not a habit of this code:
encoding a text line by line, as `deadtokens.text.stream` does with a fraction of the memory, gives
the same ids as handing the whole text to the saved ``tokenizer.json``. Training sees the same
lines, so what can become a token is exactly what can be met when a text is encoded. A newline
is a token of the stream like any other.

Words are those of GPT-2: a run of letters, of digits or of other signs, with the space before it,
or a run of white space. Merging them takes a time that grows with the square of a word's length,
so that a run is cut after `LONGEST_WORD` characters: a text of ordinary words gives the same
tokens as without, and hours become seconds for the genome on one line. This cut, too, is part of
the tokenizer.

The last rows of a vocabulary can be reserved, as models have rows for later use or as padding. Such
a row is an entry of the vocabulary that no merge makes, so no text gives it, not even one that
holds its name.

Training is deterministic, with one thread and with many: pairs of equal count are merged in the
order of their ids, so the order in which threads deliver their counts has no influence.
"""

import io
import json
import logging
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from deadtokens.arguments import add_output
from deadtokens.errors import UserError
from deadtokens.seal import complete_and_sealed
from deadtokens.text.library import load_tokenizer
from deadtokens.text.local import read_local

log = logging.getLogger(__name__)

BYTES = 256
AGAIN = "make one with: deadtokens vocabulary"
RESERVED = "<unused{}>"  # words end before and after letters, so that no token is called like this
LONGEST_WORD = 500  # characters
_RUN = f"{{1,{LONGEST_WORD}}}"
_WORDS = (
    rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}{_RUN}| ?\p{{N}}{_RUN}| ?[^\s\p{{L}}\p{{N}}]{_RUN}"
    rf"|\s{_RUN}(?!\S)|\s{_RUN}"
)


def lines(text: str) -> Iterator[str]:
    r"""Yield the text's lines, each with its ``\n``; no other character ends a line."""
    return io.StringIO(text, newline="\n")


def pieces(text: str, long: int = 2**16) -> Iterator[str]:
    """Yield the text's lines, those of more than `long` characters in pieces.

    A piece ends where a word does in any case: behind a letter or digit, before one space. So only
    memory depends on the cuts: a text without newlines takes no more than others.
    """
    up_to_a_word = re.compile(rf"[\s\S]{{{long},}}?(?<=\w)(?= \w)|[\s\S]+")
    for line in lines(text):
        if len(line) > long:
            yield from up_to_a_word.findall(line)
        else:
            yield line


def train_vocabulary(texts: Sequence[str], size: int, unused: int = 0) -> Tokenizer:
    """Train byte-level BPE on the texts together.

    Parameters
    ----------
    texts : sequence of str
        The texts themselves.
    size : int
        Number of tokens, the 256 single bytes included. There are no special tokens.
    unused : int
        How many of them, the last ones, are reserved rows, which no text gives.

    Returns
    -------
    tokenizers.Tokenizer
        With exactly `size` tokens. Every text can be encoded, and decodes to itself.

    Raises
    ------
    UserError
        If fewer than 256 tokens are left to texts, or the texts have too few different pairs.
    """
    trained = size - unused
    if unused < 0:
        raise UserError(f"{unused} unused rows are too few; ask for 0 or more")
    if trained < BYTES:
        about = f", {unused} of them unused," if unused else ""
        raise UserError(
            f"a vocabulary of {size} tokens{about} is too small: the single bytes alone are "
            f"{BYTES}; ask for {BYTES + unused} or more"
        )
    tokenizer = _untrained()
    trainer = trainers.BpeTrainer(
        vocab_size=min(
            trained, BYTES + 4 * sum(map(len, texts))
        ),  # a merge, at most, for each byte
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((piece for text in texts for piece in pieces(text)), trainer)
    _require_size(tokenizer, trained, unused)
    return _with_reserved_rows(tokenizer, unused) if unused else tokenizer


def _untrained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", behavior="merged_with_previous"),
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _with_reserved_rows(tokenizer: Tokenizer, number: int) -> Tokenizer:
    """Return the tokenizer with so many rows more."""
    values = json.loads(tokenizer.to_str())
    vocabulary = values["model"]["vocab"]
    size = len(vocabulary)
    vocabulary |= {RESERVED.format(row): size + row for row in range(number)}
    return Tokenizer.from_str(json.dumps(values))


def _require_size(tokenizer: Tokenizer, size: int, unused: int) -> None:
    found = tokenizer.get_vocab_size()
    if found != size:
        about = f" and {unused} unused ones" if unused else ""
        raise UserError(
            f"the texts give a vocabulary of {found} tokens, not {size}: nothing is left to merge; "
            f"ask for at most {found}{about} or give more text"
        )


def read_tokenizer(path: str | Path) -> Tokenizer:
    """Read a ``tokenizer.json`` that `train_vocabulary` has made.

    Raises
    ------
    UserError
        If the file is missing, holds no tokenizer, or one that may lose something of a text.
    """
    text = read_local(path).decode("utf-8")
    tokenizer = load_tokenizer(text, path, AGAIN)
    if not _is_byte_level(tokenizer):
        raise UserError(
            f"{path} holds no tokenizer as deadtokens vocabulary makes them: byte-level, every "
            f"byte a token, nothing else in between; {AGAIN}"
        )
    return tokenizer


def _is_byte_level(tokenizer: Tokenizer) -> bool:
    """Return whether the tokenizer is `_untrained`, with merges of bytes and ids without a gap.

    Reserved rows may follow.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    ids, reserved = range(len(vocabulary)), reserved_rows(tokenizer)
    return (
        sorted(vocabulary.values()) == list(ids)
        and [vocabulary[name] for name in reserved] == list(ids[len(ids) - len(reserved) :])
        and alphabet <= vocabulary.keys()
        and alphabet.issuperset("".join(vocabulary))
        # Last: the library writes a line of JSON for each id up to the largest.
        and _without_tokens(tokenizer) == _without_tokens(_untrained())
    )


def _without_tokens(tokenizer: Tokenizer) -> dict:
    values = json.loads(tokenizer.to_str())
    for name in ("vocab", "merges"):
        values["model"].pop(name, None)
    return values


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """Return the bytes of every token, in the order of the ids; of reserved rows none."""
    byte_of, reserved = byte_of_character(), reserved_rows(tokenizer)
    tokens = (tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size() - len(reserved)))
    return [bytes(byte_of[c] for c in token) for token in tokens] + [b""] * len(reserved)


def reserved_rows(tokenizer: Tokenizer) -> list[str]:
    """Return the names of the rows that no text gives; they are the last ones."""
    names = []
    while tokenizer.token_to_id(name := RESERVED.format(len(names))) is not None:
        names.append(name)
    return names


def byte_of_character() -> dict[str, int]:
    """Invert the byte-level alphabet, in which every byte is shown as a printable character.

    Printable Latin-1 characters stand for their own byte. The other bytes have got, in ascending
    order, the characters from U+0100 on.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    itself = [character for character in alphabet if ord(character) < BYTES]
    stand_in = [character for character in alphabet if ord(character) >= BYTES]
    unprintable = sorted(set(range(BYTES)) - set(map(ord, itself)))
    return {c: ord(c) for c in itself} | dict(zip(stand_in, unprintable, strict=True))


def merge_ranks(tokenizer: Tokenizer) -> np.ndarray:
    """Return the position in the list of merges at which each token first arises.

    Returns
    -------
    ndarray of int32, shape (tokens,)
        0 for the first merge; -1 for the single bytes, which no merge makes.
    """
    ranks = np.full(tokenizer.get_vocab_size(), -1, dtype=np.int32)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    # Backwards, so that of several ways to the same token the earliest one stays.
    for rank, (left, right) in reversed(list(enumerate(merges))):
        ranks[tokenizer.token_to_id(left + right)] = rank
    return ranks


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("texts", nargs="+", type=Path, metavar="TEXT", help="UTF-8 text file")
    parser.add_argument("--size", type=int, required=True, metavar="N", help="number of tokens")
    parser.add_argument(
        "--unused", type=int, default=0, metavar="N", help="those of them that no text gives"
    )
    add_output(parser, "tokenizer.json to write")


def main(options: Namespace) -> None:
    """Train on the given files and write ``tokenizer.json``."""
    texts = [read_local(path).decode("utf-8") for path in options.texts]
    tokenizer = train_vocabulary(texts, options.size, options.unused)
    with complete_and_sealed(options.output) as path:
        tokenizer.save(str(path))
    log.info("vocabulary: %d tokens from %d texts", options.size, len(texts))
