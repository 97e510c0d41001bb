"""What a model's tokenizer says of each row of its matrix."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from deadtokens.files import complete_or_absent
from deadtokens.matrices.reach import UNKNOWN, YES, unreachable
from deadtokens.matrices.tokenizer import ORDINARY, RESERVED, SPECIAL, Vocabulary
from deadtokens.tables import write_csv
from deadtokens.text.readable import literal, readable, utf8
from deadtokens.text.scripts import NO_SCRIPT, script_of
from deadtokens.trajectory.populations import POPULATIONS

BYTE, PARTIAL, MISSING = "byte", "partial", "missing"
DEAD, _, NEVER_SAMPLED = POPULATIONS  # of a training whose record says so
RESERVED_NAME = re.compile(
    r"[<\[]\|?(?:(?=\w*(?:unused|reserved|dummy|placeholder))\w*\d|extra_\d+)\|?[>\]]",
    re.IGNORECASE,
)
SENTINEL = re.compile(r"<extra_id_\d+>")  # T5 fills its gaps with these, and trains them


@dataclass(frozen=True)
class Tokens:
    """A table with an entry for each row of a matrix, in the order of the ids.

    Attributes
    ----------
    bytes : list of bytes
        That the token stands for; none of one that stands for no text.
    readable : list of str
        One printable line (`text.readable`). It shows the bytes; the name in the vocabulary of a
        token without bytes, and where names tell more (``##ing``). It is not escaped for HTML.
    script : list of str
        Of the bytes (`text.scripts.script_of`), 'none' without.
    kind : list of str
        Of the record of a training 'dead', never in its text; 'never sampled', in the text, but in
        no batch; 'ordinary', all the rest. Of a vocabulary 'missing', the tokenizer has no such id:
        models have rows to spare; 'reserved', for later use, by its name (``[unused12]``) or what
        the file says; 'special', added to the vocabulary, or to control the model; 'byte', one byte
        of whatever character; 'partial', bytes that are not whole UTF-8; 'ordinary', all the rest.
        The first that holds.
    unreachable : list of str
        'yes' if no text that was tried gives the token (`reach.unreachable`), 'no' if one does.
        'unknown' without an encoder, and of bytes that are not whole UTF-8: no text has them alone.
    """

    bytes: list[bytes]
    readable: list[str]
    script: list[str]
    kind: list[str]
    unreachable: list[str]


def describe(vocabulary: Vocabulary, rows: int) -> Tokens:
    """Describe the token of every row of a matrix.

    Parameters
    ----------
    vocabulary : Vocabulary
        All of its ids below `rows`.
    rows : int
        Of the matrix.
    """
    kinds = [_kind(vocabulary, i) for i in range(rows)]
    data = [_bytes(vocabulary, i, kind) for i, kind in enumerate(kinds)]
    return Tokens(
        bytes=data,
        readable=[_readable(vocabulary, i, token) for i, token in enumerate(data)],
        script=[script_of(token) if token else NO_SCRIPT for token in data],
        kind=kinds,
        unreachable=_unreachable(vocabulary, data, kinds),
    )


def _kind(vocabulary: Vocabulary, i: int) -> str:
    name = vocabulary.names.get(i)
    if name is None:
        return MISSING
    if RESERVED_NAME.fullmatch(name):
        return RESERVED
    if i in vocabulary.stated:
        return vocabulary.stated[i]
    if SENTINEL.fullmatch(name):
        return SPECIAL
    if vocabulary.spelling.is_byte(name):
        return BYTE
    return ORDINARY if _text(vocabulary.spelling.bytes_of(name)) is not None else PARTIAL


def _bytes(vocabulary: Vocabulary, i: int, kind: str) -> bytes:
    if kind in (MISSING, RESERVED) or (kind == SPECIAL and i not in vocabulary.verbatim):
        return b""
    name = vocabulary.names[i]
    return utf8(name) if kind == SPECIAL else vocabulary.spelling.bytes_of(name)


def _text(token: bytes) -> str | None:
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _readable(vocabulary: Vocabulary, i: int, token: bytes) -> str:
    named = not token or vocabulary.spelling.marks
    return readable(utf8(vocabulary.names.get(i, "")) if named else token)


def _unreachable(vocabulary: Vocabulary, data: list[bytes], kinds: list[str]) -> list[str]:
    if vocabulary.encoder is None:
        return [UNKNOWN] * len(data)
    texts = {i: _text(data[i] or utf8(name)) for i, name in sorted(vocabulary.names.items())}
    whole = {i: text for i, text in texts.items() if text}
    found = unreachable(vocabulary.encoder, whole, bool(vocabulary.spelling.suffix))
    return [YES if kind == MISSING else found.get(i, UNKNOWN) for i, kind in enumerate(kinds)]


def table(
    tokens: Tokens, ids: Iterable[int], measures: Mapping[str, Sequence[float]]
) -> pd.DataFrame:
    """Return a table of some tokens, in which hostile text is harmless in a spreadsheet.

    Parameters
    ----------
    tokens : Tokens
        All of them.
    ids : iterable of int
        Those of the table, in its order.
    measures : mapping of str to sequence of float
        Columns of numbers, with one value for each of `ids`.
    """
    ids = list(ids)
    columns = {
        "token": ids,
        "string": [literal(tokens.readable[i]) for i in ids],
        "bytes": [tokens.bytes[i].hex(" ") for i in ids],
        "script": [tokens.script[i] for i in ids],
        "kind": [tokens.kind[i] for i in ids],
        "unreachable": [tokens.unreachable[i] for i in ids],
    }
    return pd.DataFrame(columns | dict(measures))


def write_tokens(
    tokens: Tokens,
    ids: Iterable[int],
    path: str | Path,
    measures: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Write the `table` of some tokens as CSV."""
    rows = table(tokens, ids, measures or {})
    with complete_or_absent(path) as temporary:
        write_csv(rows, temporary)
