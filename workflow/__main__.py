"""Runs the package beside this file, for jobs: ``python -E -P workflow COMMAND ...``.

Python itself then reads nothing of the user's, neither variables nor the working folder. Packages
that a cluster supplies by PYTHONPATH are found, but last: they stand in for nothing.
"""

import os
import sys

sys.path += filter(os.path.isabs, os.environ.get("PYTHONPATH", "").split(os.pathsep))

from deadtokens.cli import deadtokens

deadtokens()
