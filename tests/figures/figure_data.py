"""Small datasets of the forms that the figures read, and ways to look at what was drawn."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from deadtokens.figures.style import look

QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95]


def scalars(loss: Sequence[float], run: str = "a", **settings: object) -> xr.Dataset:
    """Return a run's scalars; `settings` is its spec."""
    updates = np.arange(1, len(loss) + 1)
    return xr.Dataset(
        {"loss": ("update", np.asarray(loss, dtype="float32"))},
        coords={"update": updates},
        attrs={"run": run, "spec": json.dumps(settings), "status": "complete"},
    )


def freezing(
    fractions: Sequence[Sequence[float]],
    run: str = "a",
    quantiles: np.ndarray | None = None,
    dead: Sequence[bool] = (True, True, False),
    **settings: object,
) -> xr.Dataset:
    """Return a run's freezing; `fractions` has one (dead, live) pair an update."""
    fractions = np.asarray(fractions, dtype="float64").reshape(-1, 2)
    if quantiles is None:
        quantiles = np.ones((len(fractions), 2, 5))
    dims = ("update", "population", "quantile")
    return xr.Dataset(
        {
            "frozen_fraction": (dims[:2], fractions),
            "displacement_quantile": (dims, np.asarray(quantiles, dtype="float64")),
            "dead": ("token", np.asarray(dead, dtype=bool)),
        },
        coords={
            "update": np.arange(1, len(fractions) + 1),
            "population": ["dead", "live"],
            "quantile": QUANTILES,
        },
        attrs={"run": run, "spec": json.dumps(settings), "status": "complete"},
    )


def census(rows: Sequence[tuple[str, str, int, str]], vocabulary: str = "kjv") -> xr.Dataset:
    """Return a census; each row is a token's string, script, count and cause of death."""
    strings, scripts, counts, causes = zip(*rows, strict=True)
    return xr.Dataset(
        {
            "token_string": ("token", np.array(strings, dtype=object)),
            "script": ("token", np.array(scripts, dtype=object)),
            "count": ("token", np.array(counts, dtype="int64")),
            "dead": ("token", np.array([cause != "" for cause in causes])),
            "why_dead": ("token", np.array(causes, dtype=object)),
        },
        attrs={"vocabulary": vocabulary},
    )


def storage(costs: np.ndarray, run: str = "a") -> xr.Dataset:
    """Return what recording costs; `costs` is (wall, CPU, stored) over (writer, tensor)."""
    dims = ("writer", "tensor")
    names = ["W", "exp_avg", "exp_avg_sq", "grad"][: np.shape(costs)[2]]
    quantities = zip(("wall_time", "cpu_time", "stored_bytes"), costs, strict=True)
    return xr.Dataset(
        {name: (dims, np.asarray(values, dtype="float64")) for name, values in quantities}
        | {"raw_bytes": ("tensor", np.where(np.isnan(costs[0][0]), np.nan, 2e6))},
        coords={"writer": ["segment", "stepwise"], "tensor": names},
        attrs={"run": run, "updates": 7, "measured_on": "A (R) CPU", "measured_cores": 3},
    )


def attribution(
    shares: Sequence[Sequence[float]],
    norms: Sequence[float],
    run: str = "a",
    ages: Sequence[Sequence[float]] = (),
    dead: int = 3,
    **settings: object,
) -> xr.Dataset:
    """Return what moved the dead tokens; `shares` has (decay, present, momentum, rounding)."""
    shares = np.asarray(shares, dtype="float64").reshape(-1, 4)
    ages = np.asarray(ages, dtype="float64") if len(ages) else np.full((len(shares), 5), 0.2)
    both = ("update", "population")
    return xr.Dataset(
        {
            "centroid_share": ((*both, "term"), np.stack([shares, 0 * shares], axis=1)),
            "centroid_age_share": ((*both, "age"), np.stack([ages, 0 * ages], axis=1)),
            "centroid_displacement_norm": (both, np.stack([norms, norms], axis=1)),
            "tokens": ("population", [dead, 5]),
        },
        coords={
            "update": np.arange(1, len(shares) + 1),
            "population": ["dead", "live"],
            "term": ["decay", "present", "momentum", "rounding"],
            "age": ["0", "1-9", "10-99", ">=100", "rounding of the moment"],
        },
        attrs={"run": run, "spec": json.dumps(settings), "status": "complete"},
    )


def diverged(dataset: xr.Dataset, at: int) -> xr.Dataset:
    """Return the run cut off before update `at`, at which it diverged."""
    cut = dataset.isel(update=slice(0, at - 1))
    return cut.assign_attrs(status="diverged", diverged_at=at)


def read_table(path: Path, types: dict[str, str]) -> pd.DataFrame:
    """Read a figure's CSV back with the types of its table."""
    missing = {name: [""] for name, kind in types.items() if kind != "str"}
    return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=missing)


def shown_texts(figure: Figure) -> list[str]:
    """Return all texts that stand in a figure, line breaks as blanks."""
    with look():
        figure.draw_without_rendering()
    return [text.get_text().replace("\n", " ") for text in _visible_texts(figure)]


def misplaced_texts(figure: Figure) -> list[str]:
    """Return the texts that overlap another text or leave the figure."""
    with look():
        figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in _visible_texts(figure)]
    canvas = figure.bbox.padded(1)
    outside = [text for text, box in boxes if not _holds(canvas, box)]
    pairs = [
        f"{first} / {second}"
        for place, (first, box) in enumerate(boxes)
        for second, other in boxes[place + 1 :]
        if box.padded(-1).overlaps(other.padded(-1))
    ]
    return outside + pairs


def _holds(outer: Bbox, inner: Bbox) -> bool:
    corners = inner.corners()
    return all(outer.contains(x, y) for x, y in corners)


def _visible_texts(figure: Figure) -> list[Text]:
    hidden = {id(label) for axes in figure.axes for label in _labels_out_of_view(axes)}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden
    ]


def _labels_out_of_view(axes: Axes) -> list[Text]:
    labels = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                labels += [tick.label1, tick.label2]
    return labels
