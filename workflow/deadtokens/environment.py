"""The machine that Snakemake runs on, and how its jobs find Python and the package."""

import os
import shlex
import sys
from pathlib import Path

NOT_BETWEEN_QUOTES = frozenset('"$`\\')


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


def why_not_submitted(*folders: Path | str) -> str:
    """Return in which folder the jobs of a cluster would not find themselves, '' if in all.

    Snakemake writes the names of folders between double quotes into a job's script, for a shell.
    """
    for folder in map(str, folders):
        if set(folder) & NOT_BETWEEN_QUOTES:
            return (
                f'{folder}: on a cluster no job finds a folder with ", $, ` or \\ in its name; '
                "move it, or run everything on this machine (--cores)"
            )
    return ""


def search_no_working_folder() -> None:
    """Let no Python that starts from here search it: on clusters, ``python -m snakemake``."""
    os.environ["PYTHONSAFEPATH"] = "1"


def count_gpus(devices: Path = Path("/dev")) -> int:
    """Return how many GPUs this process may use, without the second that importing torch takes.

    Parameters
    ----------
    devices : Path
        Where the system shows its devices.
    """
    present = sum(1 for path in devices.glob("nvidia*") if path.name[6:].isdigit())
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return present
    return min(present, len([name for name in chosen.split(",") if name.strip() not in ("", "-1")]))
