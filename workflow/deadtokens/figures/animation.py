"""The cloud of dead tokens as it drifts and freezes.

The first run of the experiment, seen in the plane of the first two principal components of the dead
centroid's path. Dead tokens are orange while they move and blue where the update that led to the
state left every bit of them unchanged; the rarer of the two lie on top, so that neither hide the
other. Green are some of the other tokens, a few far ones outside the view. Early states are closer
together in time than late ones.
"""

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.errors import UserError
from deadtokens.figures import style
from deadtokens.figures.inputs import open_dataset
from deadtokens.figures.runs import ATTRIBUTES, from_file
from deadtokens.files import complete_or_absent

FRAMES_PER_SECOND = 10
HOLD = 15  # frames for which the last state stands still
SIZE = (5.2, 3.6)  # inches
DOTS_PER_INCH = 100
MOST_BYTES = 3_000_000
SHOWN = (0.005, 0.995)  # of the live tokens along each axis: a few far ones would shrink the rest
DOTS = {
    "live": {"color": "#9fd4b4", "markersize": 1.5, "zorder": 1},
    "dead, moving": {"color": "#c2410c", "markersize": 2, "zorder": 2},
    "dead, frozen": {"color": "#1d4ed8", "markersize": 2, "zorder": 2},
}
DEAD = ("dead, moving", "dead, frozen")
ON_TOP = 3  # the rarer of the dead ones, which the others would hide
NEEDED = ("frame_position", "frame_frozen", "member_dead", "frame", "path")


def open_drift(path: Path) -> xr.Dataset:
    """Read a run's drift.

    Raises
    ------
    UserError
        If the file is missing, unreadable or no drift of a run.
    """
    return from_file(open_dataset(path, NEEDED, ATTRIBUTES), path)


def classes(drift: xr.Dataset, frame: int) -> dict[str, np.ndarray]:
    """Return which tokens a frame draws in which way, each bool of shape (members,).

    Parameters
    ----------
    drift : Dataset
    frame : int
        From 0.
    """
    dead = drift["member_dead"].values.astype(bool)
    frozen = drift["frame_frozen"].values[frame].astype(bool)
    if int(drift["frame"][frame]) == 0:
        frozen = np.zeros_like(frozen)  # no update led to the first state
    return {"live": ~dead, "dead, moving": dead & ~frozen, "dead, frozen": dead & frozen}


class Film:
    """A figure that can show any frame of a run's drift.

    Parameters
    ----------
    drift : Dataset
    title : str
        What stands above it.
    """

    def __init__(self, drift: xr.Dataset, title: str):
        self.drift, self.title = drift, style.as_drawn(title, 60)
        self.positions = drift["frame_position"].values
        self.figure = Figure(figsize=SIZE, layout="constrained")
        style.grow(self.figure, self.title.count("\n"))
        self.axes = self.figure.subplots()
        self.dots: dict[str, Line2D] = {}
        if np.isfinite(self.positions).all():
            _prepare(self.axes, self.positions, drift["member_dead"].values.astype(bool))
            for name, look in DOTS.items():
                (self.dots[name],) = self.axes.plot([], [], ".", label=name, **look)
            self.axes.legend(loc="upper left", markerscale=3, handlelength=1)
        else:
            self.axes.set_axis_off()
        self.show(0)
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # the axes must not jump from frame to frame

    def frames(self) -> list[int]:
        """Return which frame comes after which: the last one stands still for a while."""
        last = len(self.positions) - 1
        return [*range(last), *[last] * HOLD] if self.dots else [0]

    def show(self, frame: int) -> None:
        """Let the figure show a frame, from 0."""
        chosen = classes(self.drift, frame)
        rarer = min(DEAD, key=lambda name: chosen[name].sum())
        for name, line in self.dots.items():
            line.set_data(*self.positions[frame, chosen[name]].T)
            line.set_zorder(ON_TOP if name == rarer else DOTS[name]["zorder"])
        caption = _caption(self.drift, frame, chosen) if self.dots else "no motion of dead tokens"
        self.axes.set_title(f"{self.title}\n{caption}", loc="left")


def _prepare(axes: Axes, positions: np.ndarray, dead: np.ndarray) -> None:
    """Set limits that hold all dead tokens of all frames and all but the farthest live ones."""
    shown = [positions[:, dead].reshape(-1, 2)]
    if not dead.all():
        shown.append(np.quantile(positions[:, ~dead].reshape(-1, 2), SHOWN, axis=0))
    low, high = (end(np.concatenate(shown), axis=0) for end in (np.min, np.max))
    margin = 0.03 * (high - low)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + 6 * margin[1])  # the legend stands at the top
    axes.set_aspect("equal")
    axes.set_xlabel("component 1 (weight)")
    axes.set_ylabel("component 2 (weight)")


def _caption(drift: xr.Dataset, frame: int, chosen: dict[str, np.ndarray]) -> str:
    frozen, moving = (int(chosen[f"dead, {word}"].sum()) for word in ("frozen", "moving"))
    state = int(drift["frame"][frame])
    return f"update {state:,}: {frozen / max(frozen + moving, 1):.0%} of the dead tokens frozen"


@style.look()
def save(drift: xr.Dataset, title: str, path: Path) -> None:
    """Write the animation as a GIF.

    Raises
    ------
    UserError
        If it is larger than MOST_BYTES.
    """
    film, writer = Film(drift, title), PillowWriter(fps=FRAMES_PER_SECOND)
    with complete_or_absent(path) as temporary:
        with writer.saving(film.figure, temporary, DOTS_PER_INCH):
            for frame in film.frames():
                film.show(frame)
                writer.grab_frame()
        size = temporary.stat().st_size
        if size > MOST_BYTES:
            raise UserError(
                f"{path} would have {size:,} bytes, more than {MOST_BYTES:,}: draw fewer tokens"
            )


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("drift", type=Path, help="drift.nc of a run")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.gif")
    parser.add_argument("--title", default="", help="stands above it")


def main(options: Namespace) -> None:
    """Draw the animation from a run's ``drift.nc``."""
    if options.output.suffix != ".gif":
        raise UserError(f"--output {options.output} must end in .gif")
    drift = open_drift(options.drift)
    save(drift, options.title or drift.attrs["run"], options.output)
    logging.getLogger(__name__).info(
        "animation: %s frames, %s bytes in %s",
        drift.sizes["frame"],
        f"{options.output.stat().st_size:,}",
        options.output,
    )
