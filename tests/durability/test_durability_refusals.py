"""What the system refuses, whoever writes: one sentence, no signal, no traceback, no torn file."""

import multiprocessing
import os
import re
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from children import run_command, start
from tiny import tiny_spec, write_vocabulary
from writers import WRITERS, said_by, write_as_nobody, write_with_limit

from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent, ensure_writable, largest_file
from deadtokens.run.spec import RunSpec
from deadtokens.training import size
from deadtokens.training.segment import train_segment
from deadtokens.training.size import ensure_room

TOO_LARGE = (
    r"{folder}/\S+: too large a file: (more than )?[\d,]+ bytes are needed, {limit} are allowed "
    r"\(ulimit -f\); raise it and run it again \(what was complete is kept\)"
)


def answer_of(function, *arguments):
    """Return what a child sends; a child that is killed sends nothing."""
    here, there = multiprocessing.Pipe(duplex=False)
    child = start(function, *arguments, there)
    there.close()
    with here:
        answer = here.recv()
    child.join()
    assert child.exitcode == 0
    return answer


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_tells_of_a_file_that_may_not_be_so_large(writer, tmp_path):
    path = tmp_path / WRITERS[writer][0]
    assert said_by(writer, tmp_path) == "written"
    whole = path.stat().st_size
    # ISA-L may need a few bytes more or less for the same values in another process.
    smallest = whole - (whole // 100 if writer == "segment" else 0)
    for limit in (0, 1, whole // 3, smallest - 1):
        before = path.read_bytes()
        said = answer_of(write_with_limit, writer, tmp_path, limit)
        assert re.fullmatch(TOO_LARGE.format(folder=tmp_path, limit=f"{limit:,}"), said)
        assert path.read_bytes() == before
        assert not [*tmp_path.glob(".*")]
    assert answer_of(write_with_limit, writer, tmp_path, 10 * whole) == "written"


def a_folder_at_the_file(folder, name):
    (folder / name).mkdir()
    return folder, r"Is a directory\): a folder stands where the file should be"


def a_file_at_the_folder(folder, name):
    (folder / "file").write_text("")
    return folder / "file", r"File exists\): a file stands where a folder should be"


def a_file_above_the_folder(folder, name):
    (folder / "file").write_text("")
    return folder / "file" / "folder", r"Not a directory\): a file stands where a folder should"


def a_long_folder(folder, name):
    return folder / ("x" * 256), r"File name too long\): a shorter name is needed"


PLACES = (a_folder_at_the_file, a_file_at_the_folder, a_file_above_the_folder, a_long_folder)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_tells_of_a_place_that_is_no_place(writer, place, tmp_path):
    folder, words = place(tmp_path, WRITERS[writer][0])
    before = {*tmp_path.rglob("*")}
    with pytest.raises(AssertionError, match=rf"{folder}/\S+: cannot be written \({words}"):
        raise AssertionError(said_by(writer, folder))
    assert {*tmp_path.rglob("*")} == before


@pytest.fixture
def open_folder():
    """Return a folder that other users can enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_tells_of_a_folder_that_is_not_its_own(writer, open_folder):
    open_folder.chmod(0o555)
    said = answer_of(write_as_nobody, writer, open_folder)
    assert ": cannot be written (Permission denied): this user may not write there; " in said
    open_folder.chmod(0o755)
    assert [*open_folder.iterdir()] == []


def test_a_disk_that_is_read_only_is_told(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"x\.nc: cannot be written \(Read-only file system\): the"):
        ensure_writable(small_disk / "x.nc")


def test_a_disk_that_takes_no_more_files_is_told(small_disk):
    subprocess.run(["mount", "-o", "remount,nr_inodes=20", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"the disk is full: it takes no more than its 20 files; "):
        for index in range(20):
            with complete_or_absent(small_disk / f"{index}.csv") as temporary:
                temporary.touch()


def test_a_name_that_is_too_long_is_told_before_the_work(tmp_path):
    with (
        pytest.raises(UserError, match=r"cannot be written \(File name too long\): a shorter name"),
        complete_or_absent(tmp_path / ("x" * 256)),
    ):
        pytest.fail("the work has begun")


def test_a_checkpoint_that_cannot_be_written_is_told_before_the_training(tmp_path):
    write_vocabulary(tmp_path)
    trajectory, checkpoint = tmp_path / "segment-000.nc", tmp_path / "c.safetensors"
    for folder in (checkpoint, tmp_path / "c.safetensors.seal.json"):
        folder.mkdir()
        with pytest.raises(UserError, match=rf"{folder}: cannot be written \(Is a directory\)"):
            train_segment(
                "run",
                tiny_spec(),
                0,
                tmp_path / "stream.nc",
                tmp_path / "census.nc",
                None,
                trajectory,
                checkpoint,
            )
        folder.rmdir()
    assert not trajectory.exists()


def test_a_segment_that_may_not_be_so_large_is_refused_before_the_training(tmp_path, monkeypatch):
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert largest_file() == (None if most == resource.RLIM_INFINITY else most)
    monkeypatch.setattr(size, "largest_file", lambda: 1000)
    path = tmp_path / "segment-000.nc"
    with pytest.raises(UserError, match=r"000\.nc: the segment needs about .+ may have 1,000 here"):
        ensure_room(RunSpec(), 1500, path)
    monkeypatch.setattr(size, "largest_file", lambda: 10**12)
    assert ensure_room(RunSpec(), 1500, path) > 1000


LOGS = {
    "a folder": (lambda folder: folder, "Is a directory"),
    "below a file": (lambda folder: folder / "file" / "log", "File exists"),
    "a long name": (lambda folder: folder / ("x" * 256), "File name too long"),
    "the full device": (lambda folder: Path("/dev/full"), None),
}


@pytest.mark.parametrize("log", LOGS)
def test_a_log_that_cannot_be_written_is_told(log, tmp_path):
    (tmp_path / "file").write_text("")
    path, reason = LOGS[log][0](tmp_path), LOGS[log][1]
    said = tmp_path / "said"
    segment = str(tmp_path / "segment-000.nc")
    arguments = [segment, "--output", str(tmp_path / "o.nc"), "--log", str(path)]
    child = start(run_command, "freezing", arguments, said)
    child.join()
    assert child.exitcode == 1
    sentence = f"{path}: the log cannot be written ({reason})" if reason else f"{segment}: missing"
    (line,) = said.read_text().splitlines()
    assert line.startswith(f"deadtokens: {sentence}")


def test_permissions_do_not_depend_on_how_a_file_is_written(tmp_path):
    before = os.umask(0o027)
    try:
        with complete_or_absent(tmp_path / "x") as temporary:
            temporary.write_text("content")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
