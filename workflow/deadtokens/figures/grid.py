"""Panels in rows and columns, one a run or a group of runs, with common axes."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deadtokens.figures import style

TITLE_WIDTH = 96  # characters, of the titles of one row of panels


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


def titled_grid(
    titles: Sequence[Sequence[str]],
    columns: int,
    height: float,
    margin: float,
    ylabel: str,
    sharey: bool = True,
) -> Grid:
    """Return a figure with a panel for each title, the left ones with a label.

    Parameters
    ----------
    titles : sequence of sequence of str
        The lines of each, hostile or not; they are wrapped where they are wider than a panel.
    columns, height, margin, sharey
        As for `grid`.
    ylabel : str
    """
    drawing = grid(len(titles), columns, height, margin, sharey)
    wrapped = {
        axes: "\n".join(style.as_drawn(line, TITLE_WIDTH // columns) for line in lines)
        for axes, lines in zip(drawing.panels, titles, strict=True)
    }
    style.set_titles(drawing.figure, wrapped)
    for axes in drawing.left:
        axes.set_ylabel(ylabel)
    return drawing
