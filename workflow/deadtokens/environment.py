"""The machine that Snakemake runs on, and how its jobs find Python and the package."""

import os
import shlex
import sys
from pathlib import Path


def prefix_of_jobs(package: Path, in_conda: bool) -> str:
    """Return what stands before the shell command of every job: a function ``deadtokens``.

    It runs this checkout's code in the interpreter that runs Snakemake, whatever the user's working
    folder and variables hold: Python gets the package's folder by its path (PYTHONPATH would split
    it at a colon), no other folder (-P) and no variable of its own (-E).

    Parameters
    ----------
    package : Path
        Folder with the package and the ``__main__.py`` that runs it.
    in_conda : bool
        Whether jobs run in a conda environment: its interpreter is the first on the path then.

    Returns
    -------
    str
        With braces doubled: Snakemake formats it.
    """
    interpreter = "python" if in_conda else sys.executable
    no_user_site = ["-s"] if in_conda or sys.flags.no_user_site else []
    command = shlex.join([interpreter, "-E", "-P", *no_user_site, str(package)])
    prefix = f'set -eu; deadtokens() {{ {command} "$@"; }}; '
    return prefix.replace("{", "{{").replace("}", "}}")


def search_no_working_folder() -> None:
    """Let no Python that starts from here search it: on clusters, ``python -m snakemake``."""
    os.environ["PYTHONSAFEPATH"] = "1"


def has_nvidia_gpu() -> bool:
    """Return whether this machine has one, without the second that importing torch takes."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
