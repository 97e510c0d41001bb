"""A house in which the workflow has run once, and copies of it."""

import fcntl
import os
import shutil

import pytest
from house import House, build_house


@pytest.fixture(scope="session")
def answered(tmp_path_factory):
    """Return a house in which the workflow has run, from read-only code; made by one worker."""
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    with (common / "house.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = common / "house.txt"
        if not answer.exists():
            shutil.rmtree(common / "house", ignore_errors=True)
            answer.write_text(run_once(build_house(common / "house")))
    return House(common / "house" / "code", common / "house" / "work"), answer.read_text()


def run_once(house: House) -> str:
    """Run the workflow from read-only code; return what it printed."""
    paths = [house.code, *house.code.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    answer = house.snakemake()
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert answer.returncode == 0, answer.stdout
    return answer.stdout


@pytest.fixture(scope="session")
def finished(answered, tmp_path_factory):
    """Return this worker's copy of the finished house, which no test changes."""
    return answered[0].copy(tmp_path_factory.mktemp("finished") / "house")


@pytest.fixture(scope="session")
def printed(answered):
    """Return what the workflow printed when it ran."""
    return answered[1]


@pytest.fixture
def house(finished, tmp_path):
    """Return a copy of the finished house, results with their times, that a test may change."""
    return finished.copy(tmp_path / "copy")
