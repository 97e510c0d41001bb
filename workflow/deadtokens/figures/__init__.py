"""Figures: each is drawn into files, from small derived files.

No display is ever asked for. The one that ``MPLBACKEND`` names, as a notebook sets it, may not be
installed here, and then the import of matplotlib itself would fail: it is imported without.
"""

import os
import sys


def _import_matplotlib() -> None:
    """Import matplotlib; what ``MPLBACKEND`` asks for it gets afterwards, if it knows it."""
    asked = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
    if asked:
        try:
            matplotlib.rcParams["backend"] = asked
        except ValueError:
            return


if "matplotlib" not in sys.modules:
    _import_matplotlib()
