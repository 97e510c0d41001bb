"""The corpus command: the text byte for byte, and the note about it."""

import hashlib
import json
import os

import pytest

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.text.corpus import describe


@pytest.mark.parametrize(
    ("text", "lines", "characters"),
    [("one", 1, 3), ("one\n", 1, 4), ("one\ntwo", 2, 7), ("\n\n", 2, 2), ("é\u2028ก\n", 1, 4)],
)
def test_lines_and_characters(text, lines, characters):
    about = describe(text.encode(), "name", {"file": "x"}, None)
    assert (about["lines"], about["characters"]) == (lines, characters)
    assert about["bytes"] == len(text.encode())


def test_local_text_is_copied_byte_for_byte(tmp_path):
    data = "ก\r\nb".encode()
    (tmp_path / "mine.txt").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    text, about = tmp_path / "out" / "text.txt", tmp_path / "out" / "about.json"
    call("corpus", [*_local(tmp_path, text, about), "--sha256", digest])
    assert text.read_bytes() == data
    assert json.loads(about.read_text()) == {
        "name": "mine.txt",
        "origin": {"file": "mine.txt"},
        "bytes": 6,
        "lines": 2,
        "characters": 4,
        "sha256": digest,
        "licence": None,
    }


def test_where_a_text_lay_leaves_no_trace(tmp_path):
    """The same file in another folder gives the same artifacts, byte for byte."""
    made = []
    for folder in (tmp_path / "here", tmp_path / "elsewhere" / "deeper"):
        folder.mkdir(parents=True)
        (folder / "mine.txt").write_text("the same text\n")
        text, about = folder / "text.txt", folder / "about.json"
        call("corpus", _local(folder, text, about))
        made.append((text.read_bytes(), about.read_bytes()))
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in b"".join(made[0])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ก" * 82 + ".txt", "ก" * 82 + ".txt"),
        ("x" * 250, "x" * 250),
        ('two\nlines "{}" \\', 'two\nlines "{}" \\'),
        (os.fsdecode(b"caf\xe9.txt"), r"caf\xe9.txt"),
    ],
)
def test_any_file_name_is_told(name, shown, tmp_path):
    (tmp_path / name).write_text("abc")
    text, about = tmp_path / "text.txt", tmp_path / "about.json"
    call("corpus", ["--path", str(tmp_path / name), "--text", str(text), "--about", str(about)])
    note = json.loads(about.read_text(encoding="utf-8"))
    assert (note["name"], note["origin"]) == (shown, {"file": shown})


def test_pinned_source_states_its_package(tmp_path):
    text, about = tmp_path / "text.txt", tmp_path / "about.json"
    call("corpus", ["--source", "thai-words", "--text", str(text), "--about", str(about)])
    note = json.loads(about.read_text())
    assert note["origin"] == {
        "package": "newmm-tokenizer",
        "version": "0.2.2",
        "file": "words_th.txt",
    }
    assert (note["bytes"], note["lines"], note["licence"]) == (1_518_779, 62_051, "CC0")
    assert hashlib.sha256(text.read_bytes()).hexdigest() == note["sha256"]


def test_nothing_is_written_after_a_wrong_digest(tmp_path):
    (tmp_path / "mine.txt").write_bytes(b"abc")
    text, about = tmp_path / "out" / "text.txt", tmp_path / "out" / "about.json"
    with pytest.raises(UserError, match="expected was 00"):
        call("corpus", [*_local(tmp_path, text, about), "--sha256", "00"])
    assert not (tmp_path / "out").exists()


def test_a_digest_does_not_go_with_a_pinned_source():
    with pytest.raises(UserError, match="--sha256 belongs to --path"):
        call("corpus", ["--source", "kjv", "--sha256", "00", "--text", "t", "--about", "a"])


def _local(folder, text, about):
    return ["--path", str(folder / "mine.txt"), "--text", str(text), "--about", str(about)]
