"""The way of the gradient through the blocks as a chart: arrows as wide as their streams."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

# The chart is as high as its rows: two above the blocks, two in each block.
ROW = 0.62  # inches
HEAD_ROWS = 2
TRUNK, BOX_LEFT, BOX_RIGHT = 0.36, 0.62, 0.97  # of the width
WIDEST, THINNEST = 12.0, 0.4  # points
SMALL = {"fontsize": 6.5, "va": "center"}
GREY, TRUNK_COLOR = "#555555", "#222222"
# A branch: what goes straight past it, what comes through it, where they join, what it is called.
BRANCHES = {
    "MLP": ("x2", "x1 by MLP", "x1", "LN2, MLP"),
    "attention": ("x1", "x0 by attention", "x0", "LN1, attention"),
}
SIGNS = {"x2": "x₂", "x1": "x₁", "x0": "x₀", "z": "z", "h": "h"}


def height(layers: int) -> float:
    """Return the height of the chart of so many blocks, in inches."""
    return ROW * (HEAD_ROWS + 2 * layers + 0.6)


@dataclass(frozen=True)
class Flow:
    """The numbers of a chart.

    Attributes
    ----------
    norms : Series
        By block and stream; block 0 is outside.
    cosines : Series
        By block and branch; without those that no residual path leads past.
    """

    norms: pd.Series
    cosines: pd.Series

    def width(self, block: int, stream: str) -> float:
        """Return the width of a stream's arrow, in points: in proportion to its norm."""
        finite = self.norms[np.isfinite(self.norms)]
        share = self.norms[block, stream] / finite.max() if finite.max() > 0 else 0
        return max(THINNEST, WIDEST * share) if math.isfinite(share) else THINNEST


def draw(axes: Axes, numbers: pd.DataFrame, colors: dict[tuple[str, int], str]) -> None:
    """Draw the chart of one state.

    Parameters
    ----------
    axes : Axes
    numbers : DataFrame
        ``quantity`` (norm or cosine), ``block``, ``name``, ``value``.
    colors : dict of (branch, block) to str
    """
    by_name = numbers.set_index(["block", "name"])
    flow = Flow(*(by_name.loc[by_name["quantity"] == kind, "value"] for kind in ("norm", "cosine")))
    layers = int(numbers["block"].max())
    axes.set_axis_off()
    axes.set(xticks=[], yticks=[])
    axes.set_xlim(0, 1)
    axes.set_ylim(HEAD_ROWS + 2 * layers + 0.6, 0)
    _draw_head(axes, flow, layers)
    top = HEAD_ROWS
    for block in range(layers, 0, -1):
        for branch in BRANCHES:
            _draw_branch(axes, flow, block, branch, top, colors[branch, block])
            top += 1
    _arrow(axes, (TRUNK, top), (TRUNK, top + 0.45), flow.width(1, "x0"))
    _label(axes, top + 0.2, "x0", flow.norms[1, "x0"])
    axes.text(TRUNK + 0.06, top + 0.3, "rows of the input tokens", ha="left", **SMALL)


def _draw_head(axes: Axes, flow: Flow, layers: int) -> None:
    """Draw the way from the loss to the residual path."""
    axes.text(TRUNK - 0.06, 0.05, "gradient at: norm", ha="right", color=GREY, **SMALL)
    texts = {"z": "error g = (p − y) / positions", "h": "through W: Wᵀ g"}
    for row, (stream, text) in enumerate(texts.items()):
        _arrow(axes, (TRUNK, row), (TRUNK, row + 0.9), flow.width(0, stream))
        _label(axes, row + 0.4, stream, flow.norms[0, stream])
        axes.text(TRUNK + 0.06, row + 0.4, text, ha="left", **SMALL)
    axes.text(TRUNK + 0.06, HEAD_ROWS - 0.22, "through the final LayerNorm", ha="left", **SMALL)


def _draw_branch(axes: Axes, flow: Flow, block: int, branch: str, top: float, color: str) -> None:
    """Draw one residual sum: the stream that goes straight on, and the one through the branch.

    Where no path leads past the branch, it is interrupted beside it.
    """
    straight, through, _, name = BRANCHES[branch]
    past, back = flow.width(block, straight), flow.width(block, through)
    if (block, branch) in flow.cosines:
        _arrow(axes, (TRUNK, top), (TRUNK, top + 0.97), past)
        text = f"cosine {flow.cosines[block, branch]:.2f}".replace("-", "−")
    else:
        axes.plot([TRUNK, TRUNK], [top, top + 0.2], color=TRUNK_COLOR, linewidth=past)
        _arrow(axes, (TRUNK, top + 0.8), (TRUNK, top + 0.97), back)
        text = "no way past"
    _label(axes, top + 0.4, straight, flow.norms[block, straight])
    _arrow(axes, (TRUNK, top + 0.2), (BOX_LEFT - 0.01, top + 0.2), past, color)
    _arrow(axes, (BOX_LEFT - 0.01, top + 0.8), (TRUNK, top + 0.8), back, color)
    _box(axes, top, f"{name}\nof block {block}", color)
    back_norm = f"{flow.norms[block, through]:.3g}"
    axes.text((TRUNK + BOX_LEFT) / 2 + 0.02, top + 0.53, back_norm, ha="center", **SMALL)
    axes.text(TRUNK - 0.06, top + 0.8, text, ha="right", color=GREY, **SMALL)


def _label(axes: Axes, y: float, stream: str, norm: float) -> None:
    axes.text(TRUNK - 0.06, y, f"{SIGNS[stream]}:  {norm:.3g}", ha="right", **SMALL)


def _box(axes: Axes, top: float, text: str, color: str) -> None:
    corner, size = (BOX_LEFT, top + 0.1), (BOX_RIGHT - BOX_LEFT, 0.8)
    style = {"boxstyle": "square,pad=0", "facecolor": "white", "edgecolor": color}
    axes.add_patch(FancyBboxPatch(corner, *size, linewidth=0.8, **style))
    middle = (BOX_LEFT + BOX_RIGHT) / 2
    axes.text(middle, top + 0.5, text, ha="center", **SMALL)


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    width: float,
    color: str = TRUNK_COLOR,
) -> None:
    head = width + 4
    shape = f"simple,tail_width={width},head_width={head},head_length={min(head, 7)}"
    look = {"arrowstyle": shape, "facecolor": color, "linewidth": 0}
    axes.add_patch(FancyArrowPatch(start, end, **look, mutation_scale=1, shrinkA=0, shrinkB=0))
