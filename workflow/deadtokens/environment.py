"""The machine that Snakemake runs on, and what its jobs inherit."""

import os
import sys
from pathlib import Path


def prepare_jobs(package: Path) -> None:
    """Let jobs find the package, and the interpreter that runs Snakemake, activated or not.

    A conda environment, where one is asked for, comes before them on the path.
    """
    interpreter = str(Path(sys.executable).parent)
    os.environ["PYTHONPATH"] = str(package)
    os.environ["PATH"] = os.pathsep.join([interpreter, os.environ["PATH"]])


def has_nvidia_gpu() -> bool:
    """Return whether this machine has one, without the second that importing torch takes."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
