"""Users who share a machine's GPUs: each run takes one that is free, and no user harms another."""

import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from children import claim_gpu, start

GPUS = 2
SOMEBODY, ANOTHER = 65533, 65534  # users, if root runs the tests


@pytest.fixture
def common():
    """Return a folder of all users for temporary files, as /tmp is."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def claim(common):
    """Return what starts a run of a user, and gives the GPU it got and what ends the run."""
    children = []

    def claim(user):
        here, there = multiprocessing.Pipe(duplex=False)
        child = start(claim_gpu, user, common, GPUS, there)
        children.append(child)
        there.close()
        with here:
            return here.recv(), lambda: (child.kill(), child.join())

    yield claim
    for child in children:
        child.kill()
        child.join()


def test_users_get_a_gpu_each_and_the_dead_free_theirs(claim, common):
    first, end_first = claim(SOMEBODY)
    second, _ = claim(ANOTHER)
    assert [first, second] == [0, 1]
    end_first()
    assert claim(ANOTHER)[0] == 0
    locks = sorted(common.iterdir())
    assert [path.name for path in locks] == [
        f"deadtokens-gpu-gpu-{gpu}.lock" for gpu in range(GPUS)
    ]
    assert {path.stat().st_mode & 0o777 for path in locks} == {0o444}
    if os.getuid() == 0:
        assert [path.stat().st_uid for path in locks] == [SOMEBODY, ANOTHER]


def test_runs_that_share_gpus_are_spread_evenly(claim):
    assert [claim(SOMEBODY)[0] for _ in range(2 * GPUS)] == [0, 1, 0, 1]
    fifth, end_fifth = claim(ANOTHER)
    assert fifth == 0
    end_fifth()
    assert claim(ANOTHER)[0] == 0  # the place that became free, though 1 has as few


def a_link(path, victim):
    path.symlink_to(victim)


def a_link_to_nothing(path, victim):
    path.symlink_to(victim.with_name("nothing"))


def a_pipe(path, victim):
    os.mkfifo(path, 0o666)


def a_folder(path, victim):
    path.mkdir()


def a_file_that_none_may_read(path, victim):
    path.touch(0o000)


TRAPS = (a_link, a_link_to_nothing, a_pipe, a_folder, a_file_that_none_may_read)


@pytest.mark.parametrize("trap", TRAPS)
def test_what_stands_in_the_lock_s_place_does_no_harm(trap, claim, common):
    victim = common / "victim"
    victim.write_text("mine")
    trap(common / "deadtokens-gpu-gpu-0.lock", victim)
    before = {*common.iterdir()}
    if trap is a_file_that_none_may_read and os.getuid() != 0:
        pytest.skip("only root can be another user")
    assert claim(SOMEBODY)[0] == 1
    assert claim(ANOTHER)[0] == 0  # beside whatever this may be
    assert victim.read_text() == "mine"
    made = {"deadtokens-gpu-gpu-1.lock", "deadtokens-gpu-gpu-0-1.lock"}
    assert {*common.iterdir()} == before | {common / name for name in made}


def test_a_folder_that_takes_no_files_gives_the_first_gpu(claim, common):
    common.chmod(0o555)
    assert claim(SOMEBODY)[0] == 0
    assert [*common.iterdir()] == []
