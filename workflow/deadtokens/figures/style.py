"""One look for all figures.

Colours differ in lightness as well as in hue, and every colour has a dash pattern of its own, so
that a figure can be read by a colour-blind reader and after printing in grey. The bf16 regimes are
warm, those with fp32 weights cool.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.legend_handler import HandlerTuple
from matplotlib.text import Annotation
from matplotlib.typing import ColorType

FONT = "DejaVu Sans"
FULL_WIDTH = 17 / 2.54  # inches: the text width of an A4 page
DOTS_PER_INCH = 200
LINE_HEIGHT = 0.17  # inches, of a line of the legend
CHARACTERS_PER_LINE = {"title": 75, "experiment": 105}
NEUTRAL = "#777777"
# What is said where there is nothing to draw.
SAID = {"fontsize": 6.5, "color": NEUTRAL, "ha": "center", "va": "center"}
THOUSANDS = "{x:,.0f}"  # of ticks: whole numbers with separators
INK = "0.15"  # grey: this and the ticks, marks and patches of LOOK are seaborn's "paper", "ticks"


@dataclass(frozen=True)
class Stroke:
    """How a line is drawn: colour, dash pattern (on, off, ... in line widths), marker."""

    color: str
    dashes: tuple[float, ...] = ()
    marker: str = ""

    def line(self) -> dict:
        """Return the keyword arguments of a matplotlib line."""
        return {"color": self.color, "linestyle": (0, self.dashes) if self.dashes else "-"}


REGIMES = {
    "pure-bf16": Stroke("#2e0528"),
    "bf16-once": Stroke("#460d4a", (8, 1.5, 3, 1.5)),
    "bf16-weights": Stroke("#b32a4b", (5, 1.5)),
    "bf16-stochastic": Stroke("#e08a4d", (1.5, 1)),
    "bf16-kahan": Stroke("#f2cb50", (7, 1.5, 1.5, 1.5, 1.5, 1.5)),
    "mixed-bf16": Stroke("#11421f", (12, 1.5)),
    "mixed-bf16-weights": Stroke("#3d9c3c", (3, 1)),
    "bf16-moments": Stroke("#164a97", (3, 1.5, 1, 1.5, 1, 1.5)),
    "mixed": Stroke("#2879b5", (6, 1.5, 1.5, 1.5)),
    "fp32": Stroke("#69c0e5", (10, 2)),
}
POPULATIONS = {
    "dead": Stroke("#222222"),
    "live": Stroke("#2f9e5f", (4, 1.5)),
    "never sampled": Stroke("#c39bd3", (1.5, 1)),
}
OF_POPULATIONS = POPULATIONS | {"": Stroke(NEUTRAL)}  # of all tokens together
ALWAYS_SHOWN = ("dead", "live")
DOTTED = {"color": NEUTRAL, "linewidth": 0.8, "linestyle": (0, (1, 2))}
PHASES = {"early": "#d9432f", "midlife": "#f2a65a", "late": "#a9d3ea", "frozen": "#1f4e79"}

LOOK = {
    "font.family": [FONT],
    "font.size": 8,
    "text.color": INK,
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.titlesize": 9,
    "figure.titleweight": "bold",
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 4,
    **{
        f"{axis}tick.{part}": value
        for axis in "xy"
        for part, value in {
            "color": INK,
            "labelsize": 7.5,
            "major.size": 4.8,
            "major.width": 0.6,
            "minor.size": 3.2,
            "minor.width": 0.8,
        }.items()
    },
    "lines.linewidth": 1.2,
    "lines.markersize": 4.8,
    "lines.scale_dashes": True,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "white",
    "patch.force_edgecolor": True,
    "patch.linewidth": 0.8,
    "text.parse_math": False,  # labels come from data: "$" is a character
    "text.usetex": False,
    "pdf.fonttype": 42,
}


@contextmanager
def look() -> Iterator[None]:
    """Draw with the project's settings whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(LOOK)
        yield


def blank(height: float) -> Figure:
    """Return an empty figure of full width; title and legend add to the height (inches)."""
    return Figure(figsize=(FULL_WIDTH, height), layout="constrained")


def empty(reason: str) -> Figure:
    """Return a figure that says why nothing is drawn."""
    figure = blank(height=2)
    figure.text(0.5, 0.5, reason, ha="center")
    return figure


def set_title(figure: Figure, title: str, experiment: str = "") -> None:
    """Write the title at the left above the panels, and small below it whose runs are drawn.

    Both have as many lines as they need, for which the figure grows.
    """
    title = as_drawn(title, CHARACTERS_PER_LINE["title"])
    experiment = as_drawn(experiment, CHARACTERS_PER_LINE["experiment"])
    with look():
        above = figure.suptitle(title, x=0.01, ha="left")
        below = {"xycoords": above, "textcoords": "offset points", "va": "top", "color": NEUTRAL}
        figure.add_artist(Annotation(experiment, (0, 0), (0, -2), fontsize=7, **below))
    lines = 1 + experiment.count("\n") if experiment else 0
    grow(figure, 1 + title.count("\n") + lines)
    room = lines * LINE_HEIGHT / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - room))


def set_titles(figure: Figure, titles: Mapping[Axes, str], **look: object) -> None:
    """Write what stands above panels; the figure grows by what the longest have beyond two lines.

    Parameters
    ----------
    figure : Figure
    titles : mapping of Axes to str
        As they are drawn.
    **look : object
        How the text looks.
    """
    heights: dict[int, int] = {}
    for axes, title in titles.items():
        axes.set_title(title, **look)
        row = axes.get_subplotspec().rowspan.start
        heights[row] = max(heights.get(row, 0), title.count("\n") - 1)
    grow(figure, sum(heights.values()))


def grow(figure: Figure, lines: int) -> None:
    """Make room for so many lines of text, so that the panels stay as high as they are."""
    figure.set_figheight(figure.get_figheight() + lines * LINE_HEIGHT)


def as_drawn(text: str, width: int | None = None) -> str:
    """Return hostile text as it can be drawn, all of it.

    With a `width`, it is wrapped at so many characters, within a setting ("weight decay 0.1") only
    where that alone is longer. A character that is not printable, or not in the font, appears as
    its escape sequence.
    """
    glyphs = _glyphs()
    drawable = "".join(
        sign if sign.isprintable() and ord(sign) in glyphs else _escaped(sign) for sign in text
    )
    return drawable if width is None else _wrapped(drawable, width)


def _wrapped(text: str, width: int) -> str:
    lines = [""]
    for part in re.split(r"(?<=[,:;]) | (?=\()", text):
        joined = f"{lines[-1]} {part}" if lines[-1] else part
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines += textwrap.wrap(part, width, break_on_hyphens=False)
    return "\n".join(line for line in lines if line)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FONT))).get_charmap())


def legend_below(figure: Figure, entries: Iterable[tuple[object, str]]) -> None:
    """Put the legend under the panels, in as many columns as its longest label allows.

    A tuple of handles stands side by side.
    """
    handles, labels = zip(*entries, strict=True)
    labels = [as_drawn(label, 80) for label in labels]
    widest = max(len(line) for label in labels for line in label.splitlines())
    columns = max(1, min(len(labels), 112 // (widest + 10)))
    lines = -(-sum(1 + label.count("\n") for label in labels) // columns)
    side_by_side = {tuple: HandlerTuple(ndivide=None, pad=0)}
    where = {"loc": "outside lower left", "ncols": columns}
    figure.legend(handles, labels, **where, handler_map=side_by_side)
    grow(figure, lines)


def shades(ends: Sequence[str], number: int) -> list[str]:
    """Return so many colours at even steps from the first of `ends` to the last."""
    blend = LinearSegmentedColormap.from_list("blend", ends)
    return [to_hex(color) for color in blend(np.linspace(0, 1, number))]


def ink(ground: ColorType) -> str:
    """Return the colour in which to write on a ground: black or white."""
    return "black" if np.dot(to_rgb(ground), (0.3, 0.59, 0.11)) > 0.55 else "white"


def populations_in(table: pd.DataFrame) -> list[str]:
    """Return the populations that have panels: dead and live always, others if there are any."""
    found = set(table["population"])
    return [name for name in POPULATIONS if name in ALWAYS_SHOWN or name in found]


def number_of(tokens: pd.Series) -> str:
    """Write how many tokens there are, as a range where runs differ."""
    fewest, most = tokens.min(), tokens.max()
    return f"{fewest:,}" if fewest == most else f"{fewest:,}–{most:,}"
