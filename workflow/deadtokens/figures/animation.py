"""Animation: the dead tokens' cloud as it drifts and freezes, in the plane of its path."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deadtokens.errors import UserError
from deadtokens.figures import style
from deadtokens.figures.inputs import open_dataset
from deadtokens.figures.runs import ATTRIBUTES
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
    "dead, frozen": {"color": "#1d4ed8", "markersize": 2, "zorder": 3},
}
NEEDED = ("frame_position", "frame_frozen", "member_dead", "frame", "path")


def open_drift(path: Path) -> xr.Dataset:
    """Read a run's drift.

    Raises
    ------
    UserError
        If the file is missing, unreadable or no drift of a run.
    """
    return open_dataset(path, NEEDED, ATTRIBUTES)


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


@style.look()
def animate(drift: xr.Dataset, title: str) -> FuncAnimation:
    """Return the animation of a run.

    Parameters
    ----------
    drift : Dataset
    title : str
        What stands above it.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    positions = drift["frame_position"].values
    if not np.isfinite(positions).all():
        axes.set_axis_off()
        axes.set_title(f"{style.as_drawn(title, 60)}\nno motion of dead tokens")
        return FuncAnimation(figure, lambda _: [], frames=1)
    _prepare(axes, positions, drift["member_dead"].values.astype(bool))
    dots = {name: axes.plot([], [], ".", label=name, **look)[0] for name, look in DOTS.items()}
    axes.legend(loc="upper left", markerscale=3, handlelength=1)

    def show(frame: int) -> list[Artist]:
        chosen = classes(drift, frame)
        for name, line in dots.items():
            line.set_data(*positions[frame, chosen[name]].T)
        axes.set_title(f"{style.as_drawn(title, 60)}\n{_caption(drift, frame, chosen)}")
        return list(dots.values())

    last = len(positions) - 1
    return FuncAnimation(figure, show, frames=[*range(last), *[last] * HOLD], init_func=list)


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


def save(animation: FuncAnimation, path: Path) -> None:
    """Write the animation as a GIF.

    Raises
    ------
    UserError
        If it is larger than MOST_BYTES.
    """
    with complete_or_absent(path) as temporary, style.look():
        animation.save(temporary, PillowWriter(fps=FRAMES_PER_SECOND), dpi=DOTS_PER_INCH)
        size = temporary.stat().st_size
        if size > MOST_BYTES:
            raise UserError(
                f"{path} would have {size:,} bytes, more than {MOST_BYTES:,}: draw fewer tokens"
            )


def main(arguments: Sequence[str]) -> None:
    """Draw the animation from a run's ``drift.nc``."""
    parser = argparse.ArgumentParser(prog="deadtokens animation", description=__doc__)
    parser.add_argument("drift", type=Path, help="drift.nc of a run")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.gif")
    parser.add_argument("--title", default="", help="stands above it")
    options = parser.parse_args(arguments)
    if options.output.suffix != ".gif":
        raise UserError(f"--output {options.output} must end in .gif")
    drift = open_drift(options.drift)
    save(animate(drift, options.title or drift.attrs["run"]), options.output)
    logging.getLogger(__name__).info(
        "animation: %s frames, %s bytes in %s",
        drift.sizes["frame"],
        f"{options.output.stat().st_size:,}",
        options.output,
    )


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
