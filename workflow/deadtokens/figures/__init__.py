"""Figures: each is drawn into files, from small derived files.

A figure is a module here, which begins with its caption and has a ``RECIPE``, and a row of a table
in `deadtokens.study.figures`. What the recipes share: `runs` names runs by what tells them apart,
`curves` and `bins` make lines of them, `columns` their tables; `panels` says what a figure of
panels with lines is and draws it by `axes`, `lines`, `populations` and `style`; `stacks` says what
one of stacked parts is, `bands` what one of the parts of a motion, `rest` what one of a fraction at
rest; `flowchart` has arrows, `measurement` what the benchmarks share. Figures of an experiment's
outcomes take their tables from `seeds` and what they draw from `marks`, named rows from `strips`;
`named_rows` have a mark for every run. `matrices` has what figures of an examined matrix share,
which are drawn of its one file. `inputs` opens files, `command` makes a `product` of a recipe,
`draw` is the command.

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
