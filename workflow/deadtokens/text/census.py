"""Count every token in the training stream, and say of each dead one why it is dead."""

import csv
import hashlib
import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from tokenizers import Tokenizer

from deadtokens.arguments import add_output
from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent, sha256_of
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.text.local import read_local
from deadtokens.text.read import read_stream
from deadtokens.text.readable import literal, readable
from deadtokens.text.scripts import NO_SCRIPT, OF_NO_SCRIPT, possible_scripts, script_of, scripts_in
from deadtokens.text.vocabulary import merge_ranks, read_tokenizer, reserved_rows, token_bytes

log = logging.getLogger(__name__)

LIVE = ""
BYTE_NEVER_USED = "byte never used"
OTHER_SCRIPT = "other script"
ALWAYS_ABSORBED = "always absorbed"
STRING_NEVER_OCCURS = "string never occurs"
RESERVED_ROW = "reserved row"
NONE = -1  # of a number that a token does not have

# Name: axis, long name, and the unit of what is a number.
VARIABLES = {
    "token_string": (
        ("token",),
        "token, readable: bytes that are no whole character and unprintable characters are "
        "escaped, a backslash is doubled",
    ),
    "token_bytes": (("token",), "the token's bytes, hexadecimal, separated by spaces"),
    "script": (
        ("token",),
        "Unicode script of the token's characters, or the few that a cut character can have",
    ),
    "count": (("token",), "occurrences in the training stream", "1"),
    "dead": (
        ("token",),
        "whether the token never occurs in the training stream (an unused token)",
        "1",
    ),
    "why_dead": (("token",), "reason why the token is dead, empty for live tokens"),
    "length_bytes": (("token",), "number of bytes", "1"),
    "length_characters": (
        ("token",),
        "number of characters, -1 if the bytes are not whole UTF-8 characters",
        "1",
    ),
    "merge_rank": (("token",), "position in the list of merges, -1 for single bytes", "1"),
}


def count_tokens(ids: np.ndarray, size: int) -> np.ndarray:
    """Count each token.

    Parameters
    ----------
    ids : ndarray of int, shape (positions,)
        The training stream, ids in 0 ... `size` - 1.
    size : int
        Number of tokens in the vocabulary.

    Returns
    -------
    ndarray of int64, shape (size,)
    """
    return np.bincount(ids, minlength=size).astype(np.int64)


def why_dead(tokens: Sequence[bytes], count: np.ndarray, text: str) -> list[str]:
    """Give the reason of each dead token.

    In this order: *reserved row*, no text gives it; *byte never used*, a single byte that the text
    does not hold; *always absorbed*, the text holds the token's bytes, but the tokenizer makes
    other tokens of them every time (longer ones, or a cut elsewhere); *other script*, some
    character, whole or cut off at the token's end, is certainly of a script that the text does not
    use; *string never occurs*, all the rest. A character that can be of no script is at home in
    every text.

    Parameters
    ----------
    tokens : sequence of bytes, length (tokens,)
        The bytes of every token, none of a reserved row.
    count : ndarray of int, shape (tokens,)
        Occurrences in the training stream.
    text : str
        The training text.

    Returns
    -------
    list of str, length (tokens,)
        ``""`` for live tokens.
    """
    data, at_home = text.encode("utf-8"), scripts_in(text) | OF_NO_SCRIPT
    used_bytes = frozenset(data)

    def reason(token: bytes) -> str:
        if not token:
            return RESERVED_ROW
        # A look at the few different bytes saves the search of the text for most tokens.
        if used_bytes.issuperset(token) and token in data:
            return ALWAYS_ABSORBED
        if len(token) == 1:
            return BYTE_NEVER_USED
        if any(at_home.isdisjoint(possible) for possible in possible_scripts(token)):
            return OTHER_SCRIPT
        return STRING_NEVER_OCCURS

    return [LIVE if n else reason(token) for token, n in zip(tokens, count, strict=True)]


def take_census(
    tokenizer: Tokenizer, ids: np.ndarray, text: str, attributes: Mapping[str, str | int]
) -> xr.Dataset:
    """Describe every token of the vocabulary as the training stream uses it.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        The vocabulary.
    ids : ndarray of int, shape (positions,)
        The training stream.
    text : str
        The text that `ids` encode.
    attributes : mapping
        What the census was made from; totals are added.

    Returns
    -------
    xarray.Dataset
        Dimension ``token`` (the id) with the variables token_string, token_bytes, script, count,
        dead, why_dead, length_bytes, length_characters, merge_rank.
    """
    tokens, reserved = token_bytes(tokenizer), reserved_rows(tokenizer)
    spelt = tokens[: len(tokens) - len(reserved)]
    count = count_tokens(ids, len(tokens))
    columns = {
        "token_string": _strings([*map(readable, spelt), *reserved]),
        "token_bytes": _strings(token.hex(" ") for token in tokens),
        "script": _strings([*map(script_of, spelt), *[NO_SCRIPT] * len(reserved)]),
        "count": count,
        "dead": count == 0,
        "why_dead": _strings(why_dead(tokens, count, text)),
        "length_bytes": np.array([len(token) or NONE for token in tokens], dtype=np.int32),
        "length_characters": np.array(list(map(_characters, tokens)), dtype=np.int32),
        "merge_rank": merge_ranks(tokenizer),
    }
    totals = {"tokens_in_stream": int(ids.size), "dead_tokens": int((count == 0).sum())}
    if reserved:
        totals["reserved_rows"] = len(reserved)
        totals["comment"] = (
            "The last tokens are reserved rows, which no text gives: each has a name for a string, "
            f"no bytes, the script {NO_SCRIPT!r}, and {NONE} for length and rank."
        )
    columns["token"] = np.arange(len(tokens), dtype=np.int32)
    return label(columns, VARIABLES, {"token": ("token id", "1")}).assign_attrs(
        attributes, **totals
    )


def _strings(values: Iterable[str]) -> np.ndarray:
    return np.array(list(values), dtype=str)


def _characters(token: bytes) -> int:
    try:
        return len(token.decode("utf-8")) or NONE
    except UnicodeDecodeError:
        return NONE


def write_csv(census: xr.Dataset, path: str | Path) -> None:
    """Write the census as a UTF-8 table, one line a token in the order of the ids.

    Token strings are hostile text and stand there as literals. Bytes are written apart for the same
    reason: to a spreadsheet ``3e31`` is a number.
    """
    columns = {
        "token": census["token"].values,
        "string": list(map(literal, census["token_string"].values)),
        "bytes": census["token_bytes"].values,
        "script": census["script"].values,
        "count": census["count"].values,
        "dead": census["dead"].values.astype(int),
        "why_dead": census["why_dead"].values,
        "length_bytes": census["length_bytes"].values,
        "length_characters": census["length_characters"].values,
        "merge_rank": census["merge_rank"].values,
    }
    with (
        complete_or_absent(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _require_same_origin(attributes: Mapping, tokenizer_sha256: str, text_sha256: str) -> None:
    for what, found in (("tokenizer", tokenizer_sha256), ("text", text_sha256)):
        stated = attributes.get(f"{what}_sha256")
        if stated != found:
            raise UserError(
                f"the stream was made with another {what} (SHA-256 {stated}) than the one given "
                f"({found}); make the stream again with: deadtokens stream"
            )


def _require_text_of(ids: np.ndarray, tokens: Sequence[bytes], data: bytes) -> None:
    in_range = ids.ndim == 1 and np.isin(ids, np.arange(len(tokens))).all()
    if not in_range or b"".join(map(tokens.__getitem__, ids.tolist())) != data:
        raise UserError(
            "the stream does not spell the text that it was made from; "
            "make it again with: deadtokens stream"
        )


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="FILE")
    parser.add_argument("--stream", type=Path, required=True, metavar="FILE")
    parser.add_argument("--text", type=Path, required=True, metavar="FILE", help="training text")
    add_output(parser)
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="table to make")


def main(options: Namespace) -> None:
    """Take the census and write it as NetCDF and as CSV."""
    tokenizer = read_tokenizer(options.tokenizer)
    data = read_local(options.text)
    ids, made_from = read_stream(options.stream)
    text_sha256 = hashlib.sha256(data).hexdigest()
    _require_same_origin(made_from, sha256_of(options.tokenizer), text_sha256)
    _require_text_of(ids, token_bytes(tokenizer), data)
    census = take_census(tokenizer, ids, data.decode("utf-8"), made_from)
    write(census, options.output)
    write_csv(census, options.csv)
    log.info("census: %d of %d tokens are dead", census.attrs["dead_tokens"], census.sizes["token"])
