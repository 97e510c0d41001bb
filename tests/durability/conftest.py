"""An undisturbed run to compare with, and a disk small enough to fill."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from children import SEGMENTS, train_run
from tiny import tiny_spec, write_vocabulary


@pytest.fixture(scope="session", autouse=True)
def _children_find_the_package():
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    yield
    del os.environ["PYTHONPATH"]
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="session")
def spec():
    """Return the spec of a run of which a segment takes about a second."""
    return tiny_spec(width=16, batch=4, context=16, record={"segment": 40})


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(folder, size=500)
    return folder


@pytest.fixture(scope="session")
def undisturbed(spec, vocabulary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    train_run(spec, vocabulary, folder, SEGMENTS)
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder that is a disk of 16 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"only root may mount a small disk: {getattr(error, 'stderr', error)}")
    yield Path(disk)
    subprocess.run(["umount", str(disk)], check=True)
