"""Killed at any moment: what is finished stays, and the rerun gives the bits of one piece."""

import random
import re
import shutil
import signal
import time
from collections import Counter

import h5py
import pytest
from children import (
    FILES_A_SEGMENT,
    SEGMENTS,
    assert_same_variables,
    is_done,
    outputs,
    start,
    train_one,
    train_run,
    train_until,
)
from tiny import tiny_spec

from deadtokens.errors import UserError
from deadtokens.files import is_temporary
from deadtokens.seal import check_seal, seal
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import list_segments
from deadtokens.verify import verdict

KILLS = 8


def test_killed_at_random_moments(spec, vocabulary, undisturbed, tmp_path):
    moments, found = random.Random(3), Counter()
    longest = 1.2 * seconds_of_a_segment(spec, vocabulary, tmp_path / "timed")
    folder = tmp_path / "run-0"
    while found.total() < KILLS:
        child = start(train_run, spec, vocabulary, folder, SEGMENTS)
        child.join(moments.uniform(0, longest))
        child.kill()
        child.join()
        if child.exitcode == -signal.SIGKILL:
            found[state_after_kill(folder, undisturbed)] += 1
        else:
            assert_finished(folder, undisturbed)
            folder = folder.with_name(f"run-{found.total()}")
    train_run(spec, vocabulary, folder, SEGMENTS)
    assert_finished(folder, undisturbed)
    assert found["writing"] >= KILLS // 4


def seconds_of_a_segment(spec, vocabulary, folder) -> float:
    start(outputs, folder, 0).join()  # the first child waits for the server
    begin = time.monotonic()
    start(train_run, spec, vocabulary, folder, 1).join()
    return time.monotonic() - begin


def state_after_kill(folder, undisturbed) -> str:
    """Return where the kill struck, once everything found is known to be right."""
    for segment in range(SEGMENTS):
        trajectory, _, checkpoint, _ = outputs(folder, segment)
        for path in (trajectory, checkpoint):
            if is_sealed(path):
                assert verdict(path).startswith("ok ")
            else:
                assert not is_done(folder, segment).exists()
        if is_sealed(trajectory):
            assert_same_variables(trajectory, outputs(undisturbed, segment)[0])
    left = [path for path in folder.rglob("*") if is_temporary(path)]
    assert all(verdict(path).startswith("left ") for path in left)
    if outputs(folder, 0)[0].exists():
        assert not {*left} & {*list_segments(folder / "trajectory", check=False)}
    else:
        with pytest.raises(UserError, match="no segment"):
            list_segments(folder / "trajectory", check=False)
    return "writing" if left else "between"


def is_sealed(path) -> bool:
    try:
        check_seal(path)
    except UserError as error:
        assert "missing;" in str(error) or "not sealed" in str(error)
        return False
    return True


def assert_finished(folder, undisturbed):
    for segment in range(SEGMENTS):
        assert_same_variables(outputs(folder, segment)[0], outputs(undisturbed, segment)[0])
    assert [path for path in folder.rglob("*") if is_temporary(path)] == []
    assert open_run(folder / "trajectory").sizes["update"] == 40 * SEGMENTS


@pytest.fixture(scope="module")
def short(vocabulary, tmp_path_factory):
    """Return the spec of short segments, and an undisturbed run of two."""
    spec, folder = tiny_spec(), tmp_path_factory.mktemp("short")
    train_run(spec, vocabulary, folder, 2)
    return spec, folder


@pytest.mark.parametrize("named", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("file", range(FILES_A_SEGMENT))
def test_killed_around_every_file(file, named, short, vocabulary, tmp_path):
    spec, undisturbed = short
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    for path in (*outputs(tmp_path, 1), is_done(tmp_path, 1)):
        path.unlink()
    child = start(train_until, file, named, spec, vocabulary, tmp_path, 1)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    there = [path.exists() for path in outputs(tmp_path, 1)]
    finished = file + named
    assert there == [True] * finished + [False] * (FILES_A_SEGMENT - finished)
    assert_only_sealed_files_are_results(tmp_path, sealed=finished // 2)
    train_one(spec, vocabulary, tmp_path, 1)  # by hand, over what is there
    for segment in range(2):
        assert_same_variables(outputs(tmp_path, segment)[0], outputs(undisturbed, segment)[0])
        assert [is_sealed(path) for path in outputs(tmp_path, segment)[::2]] == [True, True]


def assert_only_sealed_files_are_results(folder, sealed):
    assert [is_sealed(path) for path in outputs(folder, 1)[::2]] == [sealed > 0, sealed > 1]
    segments = [outputs(folder, segment)[0] for segment in range(2)]
    if sealed:
        assert open_run(folder / "trajectory").sizes["update"] == 8
    else:
        with pytest.raises(UserError, match=r"segment-001\.nc: (missing|not sealed)"):
            open_run(segments)


def test_a_difference_is_told_with_its_place_and_its_replay(short, tmp_path):
    _, undisturbed = short
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    changed, expected = outputs(tmp_path, 1)[0], outputs(undisturbed, 1)[0]
    assert_same_variables(changed, expected)
    with h5py.File(changed, "r+") as file:
        file["W"][3, 2, 2:4] = 7
        file.attrs["git_commit"] = "another"
    seal(changed)
    with pytest.raises(AssertionError) as told:
        assert_same_variables(changed, expected)
    lines = str(told.value).splitlines()
    assert re.match(r"/W: 2 of \d+ values differ, by \S+ at most, in steps 2 to 3 of 5$", lines[0])
    assert lines[1] == f"{changed}: values that do not follow from its gradients: {{'W': 2}}"
    assert lines[2] == f"{expected}: values that do not follow from its gradients: none"
    assert re.match(r"made otherwise: \{'git_commit': \('another', '[^']+'\)\}$", lines[3])
