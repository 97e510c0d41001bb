"""`deadtokens verify`: a line for each file, and the exit status."""

import subprocess
import sys

import pytest
from planted import planted, write_run
from tiny import tiny_trainer

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.seal import seal, seal_path
from deadtokens.training.checkpoint import save_checkpoint
from deadtokens.verify import verdict, verify


@pytest.fixture
def results(tmp_path):
    write_run(tmp_path / "run" / "trajectory", planted(9, 30, 3), [0, 4, 9])
    checkpoint = tmp_path / "run" / "checkpoints" / "checkpoint-000.safetensors"
    save_checkpoint(tiny_trainer(), {}, checkpoint)
    seal(checkpoint)
    (tmp_path / "run" / "steps-9").mkdir()
    (tmp_path / "run" / "steps-9" / "freezing.nc").write_bytes(b"is no file of this kind")
    return tmp_path


def command_line(*paths):
    """Return the lines and the exit status."""
    words = [sys.executable, "-m", "deadtokens", "verify", *map(str, paths)]
    answer = subprocess.run(words, capture_output=True, text=True)
    assert answer.stdout == ""
    return answer.stderr.splitlines(), answer.returncode


def test_sound_files_are_ok(results):
    (results / "run" / "trajectory" / ".segment-002.incomplete.nc").write_bytes(b"half")
    lines, status = command_line(results)
    assert lines == [
        f"ok   {results}/run/checkpoints/checkpoint-000.safetensors: checkpoint after update 0",
        f"left {results}/run/trajectory/.segment-002.incomplete.nc: no result, but what an "
        "interrupted job left or a running one writes",
        f"ok   {results}/run/trajectory/segment-000.nc: updates 1 to 4, complete",
        f"ok   {results}/run/trajectory/segment-001.nc: updates 5 to 9, complete",
    ]
    assert status == 0


def test_bad_files_are_told_in_one_line_each(results):
    trajectory = results / "run" / "trajectory"
    first, second = trajectory / "segment-000.nc", trajectory / "segment-001.nc"
    checkpoint = results / "run" / "checkpoints" / "checkpoint-000.safetensors"
    first.write_bytes(first.read_bytes()[:-1])
    second.unlink()
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1] + b"?")
    lines, status = command_line(results)
    assert [line.split(",")[0].split(";")[0] for line in lines] == [
        f"BAD  {checkpoint}: damaged",
        f"BAD  {first}: truncated",
        f"BAD  {second}: missing",
        "deadtokens: 3 of 3 files are missing",
    ]
    assert status == 1


def test_a_folder_without_files_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match="no segment and no checkpoint is there"):
        call("verify", [str(tmp_path)])


def test_files_are_looked_at_once_however_they_are_named(results):
    segment = results / "run" / "trajectory" / "segment-000.nc"
    assert verify([segment]) == (1, 0)
    assert verify([seal_path(segment)]) == (1, 0)
    assert verify([segment, results]) == (3, 0)
    assert verify([results / "absent.nc"]) == (1, 1)


def test_another_file_is_no_result(results):
    assert verify([results / "run" / "steps-9" / "freezing.nc"]) == (1, 1)


def test_a_run_that_diverged_says_so(tmp_path):
    write_run(tmp_path, planted(3, 5, 2), [0, 3], status="diverged", diverged_at=4)
    path = tmp_path / "segment-000.nc"
    assert verdict(path) == f"ok   {path}: updates 1 to 3, diverged at update 4"
