"""A full disk, at whatever write: one sentence, and what was complete stays."""

import errno
import io
import os
import re
import shutil
import subprocess
import sys

import h5netcdf
import numpy as np
import pytest
from children import assert_same_variables, outputs, run_command, start, train_run
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_spec

from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent, is_temporary
from deadtokens.hdf5 import SteadyFile, steady_file
from deadtokens.seal import check_seal

PAGE = os.sysconf("SC_PAGE_SIZE")
SENTENCE = r"deadtokens: (\S+): the disk is full: .+ bytes are needed, .+ are free; make room .+"


class FullDisk(io.FileIO):
    """A file on a disk with so many bytes of room: the last write that fits may be a short one."""

    def __init__(self, path, room):
        super().__init__(path, "w+")
        self.room = room

    def write(self, data):
        part = memoryview(data)[: max(0, self.room - self.tell())]
        if not len(part):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(part)


def write_hdf5(file, values):
    """Write by h5netcdf, close, open again and add: as the segments' writer does."""
    with h5netcdf.File(file, "w") as dataset:
        dataset.dimensions = {"x": len(values)}
        dataset.create_variable("a", ("x",), "<i8", values, compression="gzip")
    with h5netcdf.File(file, "r+") as dataset:
        assert (dataset["a"][...] == values).all()
        dataset.create_variable("b", ("x",), "<i8", values + 1)
    with h5netcdf.File(file, "r") as dataset:
        assert (dataset["b"][...] == values + 1).all()


@given(share=st.floats(0, 1.05))
@settings(max_examples=30, deadline=None)
def test_hdf5_never_meets_a_full_disk(share, tmp_path_factory):
    path = tmp_path_factory.mktemp("full") / "x.nc"
    values = np.random.default_rng(0).integers(0, 2**62, 3000)
    with steady_file(path) as whole:
        write_hdf5(whole, values)
    size = path.stat().st_size
    room = int(share * size)
    with FullDisk(path, room) as raw, SteadyFile(raw) as file:
        write_hdf5(file, values)
        if room >= size:
            file.check()
        else:
            with pytest.raises(OSError, match="No space left"):
                file.check()
    with path.open("rb") as file:
        assert (len(file.read(room)) == room) == (room <= size)


class SlowDisk(io.FileIO):
    """A file that takes and gives a few bytes at a time, and is refused every greater length."""

    def __init__(self, path):
        super().__init__(path, "w+")

    def write(self, data):
        return super().write(memoryview(data)[:1000])

    def readinto(self, buffer):
        return super().readinto(memoryview(buffer)[:1000])

    def truncate(self, size=None):
        if size > os.fstat(self.fileno()).st_size:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return super().truncate(size)


def test_hdf5_reads_whole_what_comes_in_pieces(tmp_path):
    values = np.random.default_rng(0).integers(0, 2**62, 3000)
    with SlowDisk(tmp_path / "x.nc") as raw, SteadyFile(raw) as file:
        write_hdf5(file, values)
        file.check()
        end = file.seek(0, os.SEEK_END)
        file.truncate(end + 1)
        assert file.seek(-1, os.SEEK_END) == end
        assert file.read(1) == b"\0"
        with pytest.raises(OSError, match="File too large"):
            file.check()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_is_full_at_last_is_told(call, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with (
        pytest.raises(UserError, match=r"x\.csv: the disk is full: more than"),
        complete_or_absent(tmp_path / "x.csv") as temporary,
    ):
        temporary.write_text("content")
    assert [*tmp_path.iterdir()] == []


def test_the_error_of_a_steady_file_is_not_lost(tmp_path):
    def write_and_fail():
        with complete_or_absent(tmp_path / "x.nc", needed=10**6) as path, FullDisk(path, 0) as raw:
            with SteadyFile(raw) as file:
                file.write(b"x")
            file.check()

    with pytest.raises(UserError, match=r"x\.nc: the disk is full: 1,000,000 bytes are needed"):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


CAUSES = {
    "a full disk": OSError(errno.ENOSPC, "No space left on device"),
    "a quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "HDF5's words": RuntimeError("Can't decrement id (errno = 28, 'No space left on device')"),
    "another language's words": Exception("No space left on device (os error 28)"),
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("wrapped", [False, True])
def test_every_words_for_a_full_disk_are_understood(cause, wrapped, tmp_path):
    (tmp_path / "x.txt").write_text("before")
    with (
        pytest.raises(UserError, match=r"x\.txt: the disk is full: more than [\d,]+ bytes are"),
        complete_or_absent(tmp_path / "x.txt") as temporary,
    ):
        temporary.write_text("half")
        if wrapped:
            raise ValueError("on closing") from CAUSES[cause]
        raise CAUSES[cause]
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "before"


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), ValueError("a bug")])
def test_other_errors_stay_what_they_are(error, tmp_path):
    with pytest.raises(type(error), match=str(error.args[-1])), complete_or_absent(tmp_path / "x"):
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def two_segments(vocabulary, tmp_path_factory):
    """Return a spec, an undisturbed run of two segments, and the pages of the second's files."""
    spec, folder = tiny_spec(record={"segment": 10}), tmp_path_factory.mktemp("undisturbed")
    train_run(spec, vocabulary, folder, 2)
    pages = [-(-path.stat().st_size // PAGE) for path in outputs(folder, 1)]
    return spec, folder, pages


@pytest.fixture
def command(two_segments, vocabulary, small_disk):
    """Return the arguments that train the second segment onto a disk with the first one."""
    spec, folder, _ = two_segments
    for path, copy in zip(outputs(folder, 0), outputs(small_disk, 0), strict=True):
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    trajectory, _, checkpoint, _ = outputs(small_disk, 1)
    options = {
        "name": "run",
        "spec": spec.json_text(),
        "segment": 1,
        "stream": vocabulary / "stream.nc",
        "census": vocabulary / "census.nc",
        "previous": outputs(small_disk, 0)[2],
        "trajectory": trajectory,
        "checkpoint": checkpoint,
        "log": small_disk / "log",
    }
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def leave_room(disk, pages):
    """Fill the disk but for so many pages."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    with filler.open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - pages * PAGE))
    assert shutil.disk_usage(disk).free == pages * PAGE


def test_the_disk_is_full_at_every_write(two_segments, command, small_disk, tmp_path):
    _, undisturbed, needed = two_segments
    segment, everything = needed[0], sum(needed)
    ends = (0, segment, everything)
    around = {end + page for end in ends for page in range(-1, 3)}
    named, statuses = set(), []
    for pages in sorted({*around, *range(0, segment, segment // 4)} - {-1}):
        for path in outputs(small_disk, 1):
            path.unlink(missing_ok=True)
        leave_room(small_disk, pages)
        child = start(run_command, "train", command, tmp_path / "said")
        child.join()
        statuses.append(child.exitcode)
        if child.exitcode == 0:
            assert_same_variables(outputs(small_disk, 1)[0], outputs(undisturbed, 1)[0])
        else:
            named.add(named_by_the_one_sentence((tmp_path / "said").read_text()))
        assert not any(is_temporary(path) for path in small_disk.rglob("*"))
        check_seal(outputs(small_disk, 0)[0])
        check_seal(outputs(small_disk, 0)[2])
    assert named == {str(path) for path in outputs(small_disk, 1)}
    assert statuses == sorted(statuses, reverse=True)
    assert {*statuses} == {0, 1}


def named_by_the_one_sentence(said):
    """Return the file that the command's last line names, once it is the only remark."""
    remarks = [line for line in said.splitlines() if not line.startswith("train run: ")]
    assert len(remarks) == 1, said
    return re.fullmatch(SENTENCE, remarks[0])[1]


def test_a_process_of_its_own_ends_in_one_sentence(command, small_disk, undisturbed):
    leave_room(small_disk, 1)
    train = run_alone("train", *command)
    assert re.fullmatch(r"deadtokens: \S+segment-001\.nc: the segment needs about .+\n", train)
    output, segment = small_disk / "freezing.nc", outputs(undisturbed, 0)[0]
    freezing = run_alone("freezing", segment, "--output", output)
    assert re.fullmatch(SENTENCE + r"\n", freezing)[1] == str(output)
    assert not output.exists()


def run_alone(command, *arguments):
    """Return what a command says that must fail."""
    words = [sys.executable, "-m", "deadtokens", command, *map(str, arguments)]
    answer = subprocess.run(words, capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stdout == ""
    return answer.stderr
