"""The corpus command: the text byte for byte, and the note about it."""

import hashlib
import json

import pytest

from deadtokens.errors import UserError
from deadtokens.text.corpus import describe, main


@pytest.mark.parametrize(
    ("text", "lines", "characters"),
    [("one", 1, 3), ("one\n", 1, 4), ("one\ntwo", 2, 7), ("\n\n", 2, 2), ("é\u2028ก\n", 1, 4)],
)
def test_lines_and_characters(text, lines, characters):
    about = describe(text.encode(), "name", {"path": "x"}, None)
    assert (about["lines"], about["characters"]) == (lines, characters)
    assert about["bytes"] == len(text.encode())


def test_local_text_is_copied_byte_for_byte(tmp_path):
    data = "ก\r\nb".encode()
    (tmp_path / "mine.txt").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    text, about = tmp_path / "out" / "text.txt", tmp_path / "out" / "about.json"
    main([*_local(tmp_path, text, about), "--sha256", digest])
    assert text.read_bytes() == data
    assert json.loads(about.read_text()) == {
        "name": "mine.txt",
        "origin": {"path": str(tmp_path / "mine.txt")},
        "bytes": 6,
        "lines": 2,
        "characters": 4,
        "sha256": digest,
        "licence": None,
    }


def test_pinned_source_states_its_package(tmp_path):
    text, about = tmp_path / "text.txt", tmp_path / "about.json"
    main(["--source", "thai-words", "--text", str(text), "--about", str(about)])
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
        main([*_local(tmp_path, text, about), "--sha256", "00"])
    assert not (tmp_path / "out").exists()


def test_a_digest_does_not_go_with_a_pinned_source(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--source", "kjv", "--sha256", "00", "--text", "t", "--about", "a"])
    assert "--sha256 belongs to --path" in capsys.readouterr().err


def _local(folder, text, about):
    return ["--path", str(folder / "mine.txt"), "--text", str(text), "--about", str(about)]
