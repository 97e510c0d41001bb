"""Which commit of this project's repository a result was made with."""

import os
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).parent


def git_commit(package: Path = PACKAGE) -> str:
    """Return the commit that is checked out, with ``-dirty`` if files differ from it.

    Returns
    -------
    str
        'unknown' where the package is no checkout: installed, copied, or lying in the working tree
        of another repository, whose commit says nothing of this code.
    """
    try:
        top = _git(package, "rev-parse", "--show-toplevel")
        _git(package, "ls-files", "--error-unmatch", Path(__file__).name)
        if Path(top) != package.resolve().parents[1]:
            return "unknown"
        return _git(package, "describe", "--always", "--dirty")
    except (OSError, subprocess.CalledProcessError, UnicodeError):
        return "unknown"


def _git(folder: Path, *arguments: str) -> str:
    """Return what git says, asked about `folder` alone: hooks set GIT_DIR and the like.

    Of a checkout that is another user's git says nothing unless it is told to trust it: here that
    user's code runs already.
    """
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    trusted = f"safe.directory={folder.resolve().parents[1]}"
    command = ["git", "--no-optional-locks", "-c", trusted, "-C", str(folder), *arguments]
    answer = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    return answer.stdout.decode("utf-8").removesuffix("\n")
