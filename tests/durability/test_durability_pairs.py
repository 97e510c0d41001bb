"""Several processes write the same file at the same time: the last whole one stays, sealed."""

import os
import random
import signal
import time

import pytest
from children import (
    assert_same_variables,
    outputs,
    start,
    train_one,
    write_and_seal,
    write_until_killed,
)
from tiny import tiny_spec

from deadtokens import seal as sealing
from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent, is_temporary
from deadtokens.seal import check_seal, seal, seal_path
from deadtokens.trajectory.segments import list_segments
from deadtokens.verify import verdict

PAIRS = 3
WRITERS, ROUNDS = 4, 40


def test_pairs_train_the_same_segment(vocabulary, tmp_path):
    spec, delay = tiny_spec(), random.Random(5)
    train_one(spec, vocabulary, tmp_path / "alone", 0)
    alone = outputs(tmp_path / "alone", 0)
    for pair in range(PAIRS):
        folder = tmp_path / f"pair-{pair}"
        first = start(train_one, spec, vocabulary, folder, 0)
        time.sleep(delay.uniform(0, 0.2))
        second = start(train_one, spec, vocabulary, folder, 0)
        assert [ended(first), ended(second)] == [0, 0]
        trajectory, _, checkpoint, _ = outputs(folder, 0)
        check_seal(trajectory)
        check_seal(checkpoint)
        assert_same_variables(trajectory, alone[0])
        assert checkpoint.read_bytes() == alone[2].read_bytes()
        assert {path for path in folder.rglob("*") if path.is_file()} == {*outputs(folder, 0)}


def ended(child) -> int:
    child.join()
    return child.exitcode


def test_a_file_is_whole_whenever_it_is_read(tmp_path):
    path = tmp_path / "x.bin"
    children = [start(write_and_seal, path, letter, ROUNDS) for letter in b"abcd"[:WRITERS]]
    read = 0
    while any(child.is_alive() for child in children):
        if path.exists():
            content = path.read_bytes()
            assert content == content[:1] * len(content)
            read += len(content) > 0
    assert [ended(child) for child in children] == [0] * WRITERS
    assert read > ROUNDS
    check_seal(path)
    assert {*tmp_path.iterdir()} == {path, seal_path(path)}


def test_the_seal_that_stays_is_that_of_the_file_that_stays(tmp_path, monkeypatch):
    path, crc32, read = tmp_path / "x.bin", sealing.crc32, []

    def another_process_is_faster(_path):
        read.append(crc32(path))
        if len(read) == 1:
            replace(path, b"another")
            seal(path)
        return read[0] if len(read) <= 2 else crc32(path)

    replace(path, b"one")
    monkeypatch.setattr(sealing, "crc32", another_process_is_faster)
    seal(path)
    assert path.read_bytes() == b"another"
    check_seal(path)


def replace(path, content):
    with complete_or_absent(path) as temporary:
        temporary.write_bytes(content)


def test_a_file_that_is_removed_before_its_seal_is_told(tmp_path, monkeypatch):
    path = tmp_path / "x.bin"
    replace(path, b"one")
    monkeypatch.setattr(sealing, "crc32", lambda path: path.unlink() or "00000000")
    with pytest.raises(UserError, match=r"x\.bin: removed while it was being sealed; if another"):
        seal(path)


def test_what_the_dead_left_goes_and_what_the_living_write_stays(tmp_path):
    path = tmp_path / "segment-000.nc"
    living, dead = (start_writing(path, tmp_path / f"begun-{index}") for index in range(2))
    dead.kill()
    assert ended(dead) == -signal.SIGKILL
    left = [file for file in tmp_path.iterdir() if is_temporary(file)]
    assert len(left) == 2
    assert all(verdict(file).startswith("left ") for file in left)
    with pytest.raises(UserError, match="no segment"):
        list_segments(tmp_path, check=False)
    elsewhere = foreign_name(left[0], dead.pid)
    neighbour = left[0].with_name(left[0].name.replace("segment-000", "segment-001"))
    for file in (elsewhere, neighbour):
        file.touch()
    replace(path, b"whole")
    assert {file for file in tmp_path.iterdir() if is_temporary(file)} == {
        next(file for file in left if f"-{living.pid:x}-" in file.name),
        elsewhere,
        neighbour,
    }
    living.kill()
    ended(living)
    replace(path, b"whole again")
    assert {file for file in tmp_path.iterdir() if is_temporary(file)} == {elsewhere, neighbour}
    assert path.read_bytes() == b"whole again"


def start_writing(path, begun):
    """Return a child that has written half a file."""
    child = start(write_until_killed, path, begun)
    while not begun.exists():
        time.sleep(0.01)
    return child


def foreign_name(path, process):
    """Return what a process of that number would have called its file on another machine."""
    start, _, end = path.name.rsplit("-", 2)
    return path.with_name(f"{start[:-8]}00000000-{process:x}-{end}")


NAMES = {
    "no suffix": "x" * 255,
    "ASCII": "x" * 252 + ".nc",
    "Thai": "ก" * 82 + ".json",
    "a character that is cut": "x" + "ก" * 82 + ".json",
    "not Unicode": os.fsdecode(b"\xff" * 250) + ".png",
    "all suffix": "x." + "y" * 253,
    "a dot first": "." + "x" * 254,
    "many dots": "x.nc" * 60 + ".csv",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_longest_names_can_be_written(name, tmp_path):
    path = tmp_path / NAMES[name]
    with complete_or_absent(path) as temporary:
        assert is_temporary(temporary)
        assert len(os.fsencode(temporary.name)) <= 255
        assert temporary.suffix == path.suffix or len(path.suffix) not in range(1, 17)
        temporary.write_text("content")
    assert path.read_text() == "content"
    assert [*tmp_path.iterdir()] == [path]


def test_two_names_are_never_the_same(tmp_path):
    names = set()
    for _ in range(100):
        with complete_or_absent(tmp_path / "x.nc") as temporary:
            names.add(temporary)
            temporary.touch()
    assert len(names) == 100
