"""The census: planted answers for each reason, counts, readable strings, and the two files."""

import ast
import csv
import re
from collections import Counter

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.netcdf import write
from deadtokens.text.census import count_tokens, take_census, why_dead
from deadtokens.text.read import read_census, read_stream
from deadtokens.text.readable import readable
from deadtokens.text.stream import encode, labelled
from deadtokens.text.vocabulary import token_bytes, train_vocabulary

ENGLISH = "the cat — the 'rat'\nthat = sat\n@home +1 -1\n"
THAI = "น้ำ น้ำ กา กา\n"
OTHER_ENGLISH = "zebra zebra dog dog\n"
TOKENIZER = train_vocabulary([ENGLISH, THAI, OTHER_ENGLISH], 290)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (b"z", "byte never used"),
        (b"\x00", "byte never used"),
        (b"\xe0", "byte never used"),
        (b"t", "always absorbed"),
        (b"at", "always absorbed"),
        ("—".encode(), "always absorbed"),
        (b"\x80", "always absorbed"),
        (b"\xe2\x80", "always absorbed"),
        ("กา".encode(), "other script"),
        (b"\xe0\xb8", "string never occurs"),  # it could be the sign of the baht
        (b"\xe0\xb9", "other script"),
        (b" \xe0", "string never occurs"),
        (b"\xb2\xe0\xb8", "string never occurs"),
        (b"\xb2\xe0\xb9", "other script"),
        ("ก".encode() + b"\xe0\xb8", "other script"),
        (b"\xf0\x9f", "string never occurs"),  # most emoji are of no script
        (b"\xf0\x9f\x98", "string never occurs"),
        (b"\xe2\x82", "string never occurs"),
        ("€".encode(), "string never occurs"),
        ("t\u0433".encode(), "other script"),
        (b"hta", "string never occurs"),
        ("é".encode(), "string never occurs"),
        (b"\xc3", "byte never used"),
        (b"t\xc3", "string never occurs"),
        ("…".encode(), "string never occurs"),
        ("t\u0301".encode(), "string never occurs"),
        (b"\xb8\x81", "string never occurs"),
    ],
)
def test_reason_of_a_planted_token(token, reason):
    assert why_dead([token], np.array([0]), ENGLISH) == [reason]


def test_reasons_depend_on_the_text():
    tokens = [b"\xe0\xb8", "กา".encode(), "ขา".encode(), b"a"]
    assert why_dead(tokens, np.zeros(4, int), THAI) == [
        "always absorbed",
        "always absorbed",
        "string never occurs",
        "byte never used",
    ]


def test_a_reserved_row_is_dead_for_a_reason_of_its_own_and_has_no_text():
    tokenizer = train_vocabulary([ENGLISH, THAI], 283, unused=3)
    ids = encode(tokenizer, ENGLISH + "<unused0>")
    census = take_census(tokenizer, ids, ENGLISH + "<unused0>", {})
    reserved = census.isel(token=slice(280, None))
    assert reserved.token_string.values.tolist() == ["<unused0>", "<unused1>", "<unused2>"]
    assert set(reserved.why_dead.values) == {"reserved row"}
    assert set(reserved.script.values) == {"none"}
    assert set(reserved.token_bytes.values) == {""}
    for name in ("length_bytes", "length_characters", "merge_rank"):
        assert (reserved[name] == -1).all()
    assert (reserved["count"] == 0).all() and reserved.dead.all()
    without = take_census(train_vocabulary([ENGLISH, THAI], 280), ids, ENGLISH + "<unused0>", {})
    xr.testing.assert_identical(census.isel(token=slice(280)).drop_attrs(), without.drop_attrs())
    assert census.attrs["dead_tokens"] == without.attrs["dead_tokens"] + 3
    assert census.attrs["reserved_rows"] == 3
    assert "reserved_rows" not in without.attrs


def test_live_tokens_have_no_reason():
    assert why_dead([b"z", b"t"], np.array([1, 2]), ENGLISH) == ["", ""]


def test_counts_are_those_of_a_counter():
    ids = encode(TOKENIZER, ENGLISH)
    counted = Counter(TOKENIZER.encode(ENGLISH).ids)
    count = count_tokens(ids, 290)
    assert count.dtype == np.int64
    assert count.tolist() == [counted[i] for i in range(290)]


@given(
    st.text(alphabet="abc \nก้", min_size=1), st.text(alphabet="abz' ขกé", min_size=1, max_size=8)
)
@settings(deadline=None)
def test_reasons_agree_with_their_definitions(text, other):
    tokenizer = train_vocabulary([text, other], 256)
    token_list = [*token_bytes(tokenizer), other.encode()]
    count = np.append(count_tokens(encode(tokenizer, text), 256), 0)
    data = text.encode()
    reasons = why_dead(token_list, count, text)
    for token, n, reason in zip(token_list, count, reasons, strict=True):
        assert (reason == "") == (n > 0)
        assert (reason == "always absorbed") == (n == 0 and token in data)
        if reason == "byte never used":
            assert len(token) == 1


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (b" the", " the"),
        ("น้ำ".encode(), "น้ำ"),
        (b"\xe0\xb8", r"\xe0\xb8"),
        (b"\xb2a", r"\xb2a"),
        (b"\n\t\r\x00\x7f", r"\n\t\r\x00\x7f"),
        (b"\\xe0", r"\\xe0"),
        ("\x85\xa0\xad".encode(), r"\u0085\u00a0\u00ad"),
        ("\u202e\U000e0001".encode(), r"\u202e\U000e0001"),
    ],
)
def test_readable_shows_the_bytes(token, shown):
    assert readable(token) == shown


def _bytes_back(shown: str) -> bytes:
    """Undo `readable`: ``\\x80`` and above are bytes, all other escapes characters."""
    pieces = re.findall(r"\\x..|\\u.{4}|\\U.{8}|\\.|[^\\]", shown)
    return b"".join(_piece_back(piece) for piece in pieces)


def _piece_back(piece: str) -> bytes:
    if piece.startswith("\\x"):
        return bytes.fromhex(piece[2:])
    return ast.literal_eval(f'"{piece}"').encode() if piece.startswith("\\") else piece.encode()


@given(st.binary() | st.text().map(str.encode))
def test_readable_is_printable_and_loses_nothing(token):
    shown = readable(token)
    assert shown.isprintable()
    assert _bytes_back(shown) == token


def test_dataset_of_a_planted_corpus():
    ids = encode(TOKENIZER, ENGLISH)
    census = take_census(TOKENIZER, ids, ENGLISH, {"text_sha256": "ab"})
    by_bytes = {bytes.fromhex(b): i for i, b in enumerate(census["token_bytes"].values)}
    zebra = census.sel(token=by_bytes[b" zebra"])
    assert zebra["token_string"] == " zebra"
    assert (zebra["script"], zebra["why_dead"]) == ("Latin", "string never occurs")
    assert (zebra["length_bytes"], zebra["length_characters"]) == (6, 6)
    half = census.sel(token=by_bytes[b"\xe0\xb8"])
    assert (half["script"], half["why_dead"]) == ("Common or Thai", "string never occurs")
    assert half["length_characters"] == -1
    assert census["merge_rank"].sel(token=by_bytes[b"z"]) == -1
    assert census["count"].sum() == ids.size == census.attrs["tokens_in_stream"]
    assert census.attrs["dead_tokens"] == (census["count"] == 0).sum()
    assert census.attrs["text_sha256"] == "ab"


@pytest.fixture
def made(tmp_path):
    (tmp_path / "text.txt").write_bytes(ENGLISH.encode())
    (tmp_path / "other.txt").write_bytes(OTHER_ENGLISH.encode())
    TOKENIZER.save(str(tmp_path / "tokenizer.json"))
    tokenizer = ["--tokenizer", str(tmp_path / "tokenizer.json")]
    text = ["--text", str(tmp_path / "text.txt")]
    call("stream", [*tokenizer, *text, "--output", str(tmp_path / "stream.nc")])
    call("census", [*tokenizer, *text, *_outputs(tmp_path)])
    return tmp_path


def _outputs(folder):
    return [
        *("--stream", str(folder / "stream.nc")),
        *("--output", str(folder / "census.nc")),
        *("--csv", str(folder / "census.csv")),
    ]


def test_file_reads_back_as_it_was_taken(made):
    written = read_census(made / "census.nc")
    attributes = {
        name: written.attrs[name]
        for name in ("text_sha256", "tokenizer_sha256", "vocabulary_size", "stream_sha256")
    }
    taken = take_census(TOKENIZER, encode(TOKENIZER, ENGLISH), ENGLISH, attributes)
    xr.testing.assert_identical(written, taken)
    assert written["dead"].dtype == bool
    assert written["count"].dtype == np.int64
    assert written["token"].values.tolist() == list(range(290))


def test_a_reader_without_xarray_sees_labelled_numbers(made):
    with netCDF4.Dataset(made / "census.nc") as file:
        assert file["dead"].dtype == np.int8
        assert (file["dead"][:] == (file["count"][:] == 0)).all()
        assert all(variable.long_name for variable in file.variables.values())
        numbers = [v for v in file.variables.values() if v.dtype is not str]
        assert [variable.units for variable in numbers] == ["1"] * 6


def test_table_agrees_with_the_dataset(made):
    census = read_census(made / "census.nc")
    rows = _rows(made)
    assert [int(row["token"]) for row in rows] == list(range(290))
    for csv_name, name in [("bytes", "token_bytes"), ("script", "script"), ("why_dead",) * 2]:
        assert [row[csv_name] for row in rows] == census[name].values.tolist()
    for name in ("count", "dead", "length_bytes", "length_characters", "merge_rank"):
        assert [int(row[name]) for row in rows] == census[name].values.astype(int).tolist()


def test_table_shows_strings_as_literals(made):
    for row in _rows(made):
        literal, token = row["string"], bytes.fromhex(row["bytes"])
        assert literal[0] == literal[-1] == "'"
        if int(row["length_characters"]) >= 0:
            assert ast.literal_eval(literal) == token.decode()
    shown = {row["string"] for row in _rows(made)}
    assert {"'='", "'@'", "'+'", "'-'", r"'\''", r"'\\'", "' '", r"'\n'"} <= shown


def test_stream_of_another_text_is_refused(made):
    arguments = ["--tokenizer", str(made / "tokenizer.json"), "--text", str(made / "other.txt")]
    with pytest.raises(UserError, match="the stream was made with another text"):
        call("census", [*arguments, *_outputs(made)])


def test_stream_of_another_tokenizer_is_refused(made):
    train_vocabulary([ENGLISH], 260).save(str(made / "tokenizer.json"))
    arguments = ["--tokenizer", str(made / "tokenizer.json"), "--text", str(made / "text.txt")]
    with pytest.raises(UserError, match="the stream was made with another tokenizer"):
        call("census", [*arguments, *_outputs(made)])


@pytest.mark.parametrize(
    "change",
    [lambda ids: ids[:-1], lambda ids: ids + 290, lambda ids: ids - 290, lambda ids: ids[None]],
    ids=["a token less", "above all ids", "below all ids", "a matrix"],
)
def test_a_stream_that_does_not_spell_its_text_is_refused(made, change):
    """With a digest of its own that is right."""
    ids, attributes = read_stream(made / "stream.nc")
    attributes = {name: value for name, value in attributes.items() if name != "stream_sha256"}
    changed = change(ids)
    stream = labelled(changed.ravel(), attributes)
    if changed.ndim > 1:
        stream = stream.expand_dims("row")
    write(stream, made / "stream.nc")
    arguments = ["--tokenizer", str(made / "tokenizer.json"), "--text", str(made / "text.txt")]
    with pytest.raises(UserError, match="does not spell the text"):
        call("census", [*arguments, *_outputs(made)])


def _rows(folder):
    with (folder / "census.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
