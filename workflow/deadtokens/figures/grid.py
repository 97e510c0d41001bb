"""Panels in rows and columns, one a run or a group of runs, with common axes."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deadtokens.figures import style


@dataclass(frozen=True)
class Grid:
    """The panels of a figure.

    Attributes
    ----------
    figure : Figure
    panels : list of Axes
        Row by row.
    left : list of Axes
        Those of the first column.
    lowest : list of Axes
        Those without another one below.
    """

    figure: Figure
    panels: list[Axes]
    left: list[Axes]
    lowest: list[Axes]


def grid(number: int, columns: int, height: float, margin: float, sharey: bool = True) -> Grid:
    """Return a figure with so many panels.

    Parameters
    ----------
    number, columns : int
        At least 1.
    height, margin : float
        Inches: of a row of panels, and of what stands above or below all of them.
    sharey : bool
        Whether the panels have one vertical axis; the horizontal one they always share.
    """
    rows = -(-number // columns)
    figure = style.blank(height=margin + height * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=sharey, squeeze=False)
    for spare in panels.flat[number:]:
        spare.remove()
    lowest = list(panels.flat[:number][-columns:])
    for axes in lowest:
        axes.tick_params(labelbottom=True)
    return Grid(figure, list(panels.flat[:number]), list(panels[:, 0]), lowest)
