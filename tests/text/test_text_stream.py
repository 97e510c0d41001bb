"""The stream: lossless, the same ids as the library's own, and safe against damage."""

import hashlib
import struct

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.netcdf import write
from deadtokens.text.read import digest, read_stream
from deadtokens.text.stream import encode, labelled
from deadtokens.text.vocabulary import train_vocabulary

# Spaces before newlines, often enough that " \n" becomes a token: where a text is cut then shows.
TEXT = "the cat \nsat on the mat \n\n  the  rat \nน้ำ น้ำ \n"
TOKENIZER = train_vocabulary([TEXT], 270)
WITH_MANY_BREAKS = st.text() | st.text(alphabet="a \n\r\t\u2028\x85กา's")


@given(WITH_MANY_BREAKS)
@settings(deadline=None)
def test_decoding_gives_the_text_back(text):
    assert TOKENIZER.decode(encode(TOKENIZER, text).tolist()) == text


@given(WITH_MANY_BREAKS)
@settings(deadline=None)
def test_ids_are_those_of_the_whole_text_at_once(text):
    ids = encode(TOKENIZER, text)
    assert ids.dtype == np.int32
    assert ids.tolist() == TOKENIZER.encode(text).ids


def test_more_lines_than_a_block():
    text = TEXT * 2500
    ids = encode(TOKENIZER, text)
    np.testing.assert_array_equal(ids, np.tile(encode(TOKENIZER, TEXT), 2500))


def test_newlines_end_tokens_of_the_stream():
    pieces = [TOKENIZER.decode([i]) for i in encode(TOKENIZER, "a \nb\n\n\nc").tolist()]
    assert pieces == ["a", " \n", "b", "\n", "\n", "\n", "c"]


def test_digest_is_of_little_endian_int32():
    ids = np.array([0, 1, 258, 70_000], dtype=np.int32)
    assert digest(ids) == hashlib.sha256(struct.pack("<4i", 0, 1, 258, 70_000)).hexdigest()
    assert digest(ids.astype(">i4")) == digest(ids)
    assert digest(ids[::-1]) != digest(ids)


@pytest.fixture
def made(tmp_path):
    (tmp_path / "text.txt").write_bytes(TEXT.encode())
    TOKENIZER.save(str(tmp_path / "tokenizer.json"))
    tokenizer = ["--tokenizer", str(tmp_path / "tokenizer.json")]
    text = ["--text", str(tmp_path / "text.txt")]
    call("stream", [*tokenizer, *text, "--output", str(tmp_path / "stream.nc")])
    return tmp_path


def test_command_writes_ids_and_what_they_were_made_from(made):
    ids, attributes = read_stream(made / "stream.nc")
    assert ids.dtype == np.int32
    assert ids.tolist() == TOKENIZER.encode(TEXT).ids
    tokenizer_bytes = (made / "tokenizer.json").read_bytes()
    assert attributes == {
        "text_sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
        "tokenizer_sha256": hashlib.sha256(tokenizer_bytes).hexdigest(),
        "vocabulary_size": 270,
        "stream_sha256": digest(ids),
    }


def test_variable_is_labelled(made):
    token = xr.load_dataset(made / "stream.nc", engine="h5netcdf")["token"]
    assert (token.dims, token.dtype) == (("position",), np.int32)
    assert token.attrs == {"long_name": "token id", "units": "1"}


def test_one_changed_id_is_noticed(made):
    dataset = xr.load_dataset(made / "stream.nc", engine="h5netcdf")
    dataset["token"][3] += 1
    write(dataset, made / "changed.nc")
    with pytest.raises(UserError, match=r"changed\.nc do not have the digest"):
        read_stream(made / "changed.nc")


def test_truncated_file_is_a_sentence(made):
    data = (made / "stream.nc").read_bytes()
    (made / "stream.nc").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"stream\.nc: truncated, it has [\d,]+ of [\d,]+ bytes"):
        read_stream(made / "stream.nc")
    (made / "stream.nc.seal.json").unlink()
    with pytest.raises(UserError, match=r"stream\.nc cannot be read as NetCDF"):
        read_stream(made / "stream.nc")


def test_missing_file_and_file_of_another_kind(tmp_path):
    with pytest.raises(UserError, match=r"absent\.nc does not exist; .*: deadtokens stream"):
        read_stream(tmp_path / "absent.nc")
    write(xr.Dataset({"other": ("x", [1])}), tmp_path / "other.nc")
    with pytest.raises(UserError, match=r"other\.nc has no variable 'token'"):
        read_stream(tmp_path / "other.nc")


def test_labelled_keeps_the_array_as_it_is():
    ids = np.array([3, 1, 2], dtype=np.int32)
    dataset = labelled(ids, {"vocabulary_size": 4})
    assert dataset["token"].values.tolist() == [3, 1, 2]
    assert dataset.attrs == {"vocabulary_size": 4, "stream_sha256": digest(ids)}
