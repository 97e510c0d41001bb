"""Texts, streams and censuses are those that their names, and each other, say."""

import gc
import hashlib
import shutil
import sys

import numpy as np
import pytest
import xarray as xr

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.netcdf import write
from deadtokens.run.spec import RunSpec
from deadtokens.seal import seal, seal_path
from deadtokens.text.local import read_local
from deadtokens.text.read import read_census, read_stream, read_vocabulary
from deadtokens.training.segment import train_segment

TEXT = "the cat sat on the mat, and the rat sat on the cat\n" * 20
SIZE = 262
NAMES = [f"bpe-{SIZE}-{digit * 8}" for digit in "ab"]


def write_corpus(results, text=TEXT):
    """Write a text as the workflow does; return its path."""
    name = f"tale-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    (results / "tale.txt").write_text(text)
    folder = results / "corpora" / name
    outputs = ["--text", str(folder / "text.txt"), "--about", str(folder / "corpus.json")]
    call("corpus", ["--path", str(results / "tale.txt"), *outputs])
    return folder / "text.txt"


def make_vocabulary(results, text, name):
    """Make a vocabulary as the workflow does; return its folder."""
    folder = results / "vocabularies" / name
    made = {part: str(folder / part) for part in ("tokenizer.json", "stream.nc", "census.nc")}
    of_text = ["--tokenizer", made["tokenizer.json"], "--text", str(text)]
    call("vocabulary", [str(text), "--size", str(SIZE), "--output", made["tokenizer.json"]])
    call("stream", [*of_text, "--output", made["stream.nc"]])
    outputs = ["--output", made["census.nc"], "--csv", str(folder / "census.csv")]
    call("census", [*of_text, "--stream", made["stream.nc"], *outputs])
    return folder


@pytest.fixture
def two(tmp_path):
    """Return two vocabularies of one size, on two texts."""
    texts = TEXT, TEXT.replace("cat", "dog")
    return [
        make_vocabulary(tmp_path, write_corpus(tmp_path, text), name)
        for text, name in zip(texts, NAMES, strict=True)
    ]


def flip_a_letter(path):
    path.write_text(path.read_text().replace("rat", "bat", 1))


COMMANDS = {
    "vocabulary": lambda text, folder: make_vocabulary(folder, text, NAMES[0]),
    "read_local": lambda text, _: read_local(text),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("sealed", [False, True])
def test_a_flipped_letter_is_another_text(command, sealed, tmp_path):
    text = write_corpus(tmp_path)
    COMMANDS[command](text, tmp_path / "before")
    flip_a_letter(text)
    seal_path(text).unlink(missing_ok=True)
    if sealed:
        seal(text)
    with pytest.raises(UserError, match=r"text\.txt: is not the text that the name of its folder"):
        COMMANDS[command](text, tmp_path / "after")


def test_a_text_that_is_not_what_was_sealed_is_told(tmp_path):
    (tmp_path / "mine.txt").write_text(TEXT)
    seal(tmp_path / "mine.txt")
    assert read_local(tmp_path / "mine.txt") == TEXT.encode()
    flip_a_letter(tmp_path / "mine.txt")
    with pytest.raises(UserError, match=r"mine\.txt: damaged"):
        read_local(tmp_path / "mine.txt")


def test_a_text_of_the_users_may_lie_anywhere(tmp_path):
    for name in ("crawl-deadbeef/text.txt", "crawl-20260131/text.txt", "tale-2cf24dba/mine.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(TEXT)
        assert read_local(path) == TEXT.encode()


def test_what_belongs_together_is_read(two):
    ids, attributes, counted = read_vocabulary(two[0] / "stream.nc", two[0] / "census.nc", NAMES[0])
    assert attributes["vocabulary"] == counted.attrs["vocabulary"] == NAMES[0]
    assert counted["count"].values.sum() == len(ids)


@pytest.mark.parametrize("name", ["stream.nc", "census.nc"])
def test_files_of_another_vocabulary_are_told(name, two):
    read = {"stream.nc": read_stream, "census.nc": read_census}[name]
    read(two[0] / name)
    shutil.copy(two[1] / name, two[0] / name)
    seal(two[0] / name)
    with pytest.raises(UserError, match=rf"is of the vocabulary {NAMES[1]}, but lies in"):
        read(two[0] / name)
    loose = two[0].parent / name
    shutil.copy(two[1] / name, loose)
    read(loose)


def test_stream_and_census_of_two_vocabularies_are_not_mixed(two):
    with pytest.raises(UserError, match=r"census\.nc: is the census of another stream"):
        read_vocabulary(two[0] / "stream.nc", two[1] / "census.nc")


def test_a_census_counts_its_stream(two):
    path = two[0] / "census.nc"
    counted = read_census(path)
    seal_path(path).unlink(missing_ok=True)
    token = int(np.flatnonzero(counted["count"].values)[0])
    counted["count"][token] -= 1
    write(counted, path)
    with pytest.raises(UserError, match=r"census\.nc: its counts are not those of"):
        read_vocabulary(two[0] / "stream.nc", path)


@pytest.mark.parametrize("command", ["train", "initial_softmax"])
def test_a_run_is_trained_on_its_own_vocabulary(command, two, tmp_path):
    spec = RunSpec(vocabulary=NAMES[0], context=8, batch=2, width=8, layers=1)
    files = [two[1] / "stream.nc", two[1] / "census.nc"]
    with pytest.raises(UserError, match=f"vocabulary {NAMES[1]}, but the run is trained on"):
        if command == "train":
            outputs = (tmp_path / "segment-000.nc", tmp_path / "c.safetensors")
            train_segment("run", spec, 0, *files, None, *outputs)
        else:
            words = ["--stream", str(files[0]), "--census", str(files[1])]
            about = [
                "--name",
                "run",
                "--spec",
                spec.json_text(),
                "--output",
                str(tmp_path / "i.nc"),
            ]
            call("initial_softmax", [*about, *words])


def test_a_vocabulary_of_another_size_than_its_name_is_told(tmp_path):
    text = write_corpus(tmp_path)
    with pytest.raises(UserError, match="of 262 tokens, but lies in the folder of bpe-300-"):
        make_vocabulary(tmp_path, text, "bpe-300-cccccccc")


@pytest.mark.parametrize("name", ["stream.nc", "census.nc"])
def test_every_flipped_bit_of_a_sealed_file_is_named(name, two):
    path, generator = two[0] / name, np.random.default_rng(7)
    read = {"stream.nc": read_stream, "census.nc": read_census}[name]
    seal(path)
    whole = path.read_bytes()
    for bit in generator.integers(8 * len(whole), size=100):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"{name}: damaged"):
            read(path)


ERRORS = [
    KeyError("state"),
    AttributeError("no attribute"),
    RuntimeError("Unable to get group info"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    OSError("truncated"),
    MemoryError("too much"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_the_libraries_raise_is_a_sentence(error, two, monkeypatch):
    def refuse(*_, **__):
        raise error

    seal_path(two[0] / "stream.nc").unlink(missing_ok=True)
    monkeypatch.setattr(xr, "load_dataset", refuse)
    with pytest.raises(UserError, match=r"stream\.nc cannot be read as NetCDF .*deadtokens stream"):
        read_stream(two[0] / "stream.nc")


def test_a_file_half_opened_is_let_go_without_a_word(two, monkeypatch):
    class HalfOpened:
        def __del__(self):
            raise AttributeError("no attribute '_writable'")

    def refuse(*_, **__):
        half = HalfOpened()
        raise KeyError(id(half))

    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    seal_path(two[0] / "stream.nc").unlink(missing_ok=True)
    monkeypatch.setattr(xr, "load_dataset", refuse)
    with pytest.raises(UserError, match="cannot be read as NetCDF"):
        read_stream(two[0] / "stream.nc")
    gc.collect()
    assert heard == []
