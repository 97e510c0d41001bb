"""Programs of a test's own, which see its modules."""

import os
import subprocess
import sys


def started(script: str, *arguments: object, **environment: str) -> subprocess.Popen:
    """Start a script that imports what the tests import; what it says is one text."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", script, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
