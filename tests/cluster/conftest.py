"""A cluster of one machine, and an interpreter whose Snakemake can submit to it."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from house import REPOSITORY
from slurm import Slurm, why_not


@pytest.fixture(scope="session")
def submitting(tmp_path_factory):
    """Return the interpreter of an environment with the executors beside what is installed here.

    An environment of its own: with the plugin installed, every call of Snakemake where clients of
    Slurm are installed and no controller runs waits ten seconds for one.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    here = sysconfig.get_path("purelib")
    there = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    Path(there.strip(), "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    for requirements in ("requirements-slurm.txt", "requirements-generic.txt"):
        answer = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes",
             "--requirement", REPOSITORY / "envs" / requirements],
            capture_output=True, text=True,
        )  # fmt: skip
        if answer.returncode != 0:
            pytest.skip(f"{requirements} cannot be installed: {answer.stderr.splitlines()[-1]}")
    return python


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    with Slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running
