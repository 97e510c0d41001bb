"""Small datasets of the forms that the figures read, and ways to look at what was drawn."""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from deadtokens.comparison.measures import OUTCOMES
from deadtokens.comparison.members import Experiment, Member
from deadtokens.comparison.outcomes import compare
from deadtokens.figures.style import look
from deadtokens.freezing.lasting import FRACTIONS, JUDGEMENTS
from deadtokens.stillness.causes import CAUSES, HOLDERS

QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95]
ALIKE = [1 / len(CAUSES)] * len(CAUSES)  # of the causes


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
    """Return a run's freezing; `fractions` has one (dead, live) pair an update.

    Of tokens that move, half of the components do, on the grid of the record.
    """
    fractions = np.asarray(fractions, dtype="float64").reshape(-1, 2)
    if quantiles is None:
        quantiles = np.ones((len(fractions), 2, 5))
    dims = ("update", "population", "quantile")
    return xr.Dataset(
        {
            "frozen_fraction": (dims[:2], fractions),
            "moved_fraction": (
                ("update", "population", "grid"),
                np.stack([0 * fractions, (1 - fractions) / 2], axis=-1),
            ),
            "displacement_quantile": (dims, np.asarray(quantiles, dtype="float64")),
            "dead": ("token", np.asarray(dead, dtype=bool)),
        },
        coords={
            "update": np.arange(1, len(fractions) + 1),
            "population": ["dead", "live"],
            "grid": ["bfloat16", "recorded"],
            "quantile": QUANTILES,
        },
        attrs={"run": run, "spec": json.dumps(settings), "status": "complete"},
    )


def moving(
    dead: Sequence[float], live: Sequence[float], run: str = "a", **settings: object
) -> xr.Dataset:
    """Return a run whose quantiles are 0.1, 0.5, 1, 2 and 10 times the medians given."""
    factors = np.array([0.1, 0.5, 1, 2, 10])
    quantiles = np.stack([np.outer(dead, factors), np.outer(live, factors)], axis=1)
    return freezing([(0.0, 0.0)] * len(dead), run=run, quantiles=quantiles, **settings)


def stillness(
    still: Sequence[float],
    causes: Sequence[Sequence[float]],
    run: str = "a",
    tokens: int = 2,
    **settings: object,
) -> xr.Dataset:
    """Return why a run's dead tokens stood still; `causes` has a fraction of each cause an update.

    Of the still components the holders have 1/2, 1/4, 3/4 and all.
    """
    dims = ("update", "cause")
    return xr.Dataset(
        {
            "still_fraction": (dims[:1], np.asarray(still, dtype="float64")),
            "cause_fraction": (dims, np.asarray(causes, dtype="float64").reshape(-1, len(CAUSES))),
            "holder_fraction": (
                ("update", "holder"),
                np.where(np.asarray(still)[:, None] > 0, [[0.5, 0.25, 0.75, 1]], np.nan),
            ),
        },
        coords={
            "update": np.arange(1, len(still) + 1),
            "cause": list(CAUSES),
            "holder": list(HOLDERS),
            "token": np.arange(tokens),
        },
        attrs={"run": run, "spec": json.dumps(settings), "status": "complete"},
    )


def freezing_in_depth(
    run: str = "a",
    updates: int = 30,
    dead: Sequence[bool] = (True, True, False),
    **settings: object,
) -> xr.Dataset:
    """Return a run's freezing with all that its figures read.

    The phases follow each other, a quarter of the updates each; of the dead, half have frozen for
    good in the middle, by the criterion "last motion" all at the end. Half are judged to be
    at rest, not settled, the others to be moving, and half of each move again.
    """
    base = freezing([(0.0, 0.0)] * updates, run=run, dead=dead, **settings)
    update = np.arange(1, updates + 1)
    phase = np.minimum(4 * (update - 1) // max(updates, 1), 3)
    fraction = np.zeros((updates, 2, 4, 2))
    fraction[np.arange(updates), :, phase] = 1
    surviving = np.where(update <= updates // 2, 1.0, 0.5)[:, None, None, None]
    surviving = np.broadcast_to(surviving, (updates, 2, 2, 2)).copy()
    surviving[-1:, :, :, 0] = 0
    ulps = np.geomspace(1e4, 1e-2, updates)[:, None] * np.array([0.1, 0.5, 1, 2, 10])
    ulps = np.stack([ulps, 10 * ulps], axis=1)
    by_criterion = ("update", "population", "grid", "criterion")
    judged = np.count_nonzero(dead)
    tokens = np.array([[[0, 0], [0, judged // 2], [0, judged - judged // 2]]] * 2)
    strata = np.stack([phase, np.minimum(phase, 2)]).astype(np.uint8)[: np.count_nonzero(dead)]
    return base.assign(
        {
            "phase_fraction": (("update", "population", "phase", "grid"), fraction),
            "surviving_fraction": (by_criterion, surviving),
            "surviving_low": (by_criterion, surviving * 0.9),
            "surviving_high": (by_criterion, np.minimum(surviving * 1.1, 1)),
            "ulp_distance_quantile": (
                ("update", "population", "norm", "grid", "quantile"),
                np.broadcast_to(ulps[:, :, None, None], (updates, 2, 3, 2, 5)).round(),
            ),
            "largest_displacement_in_ulps_quantile": (("update", "population", "quantile"), ulps),
            "forecast_update": ("cut", [updates // 4, updates // 2]),
            "forecast_tokens": (("cut", "judgement", "grid"), tokens),
            "forecast_moved": (("cut", "judgement", "grid"), tokens // 2),
            "forecast_shift_quantile": (
                ("cut", "judgement", "grid", "quantile"),
                np.where(tokens > 1, updates / 4, np.nan)[..., None] * np.ones(5),
            ),
            "strata": (("row", "column"), strata),
            "strata_update": ("column", update),
            "strata_token": ("row", np.flatnonzero(dead)[:2]),
        }
    ).assign_coords(
        phase=["early", "midlife", "late", "frozen"],
        grid=["bfloat16", "recorded"],
        norm=["L1", "L2", "Linf"],
        criterion=["last motion", "settled"],
        cut=list(FRACTIONS),
        judgement=list(JUDGEMENTS),
    )


def sharpening(
    run: str = "a", updates: int = 30, without: Sequence[str] = (), **settings: object
) -> xr.Dataset:
    """Return a run's sharpening, its forces falling, without some of them."""
    falling = np.geomspace(1e-2, 1e-6, updates)
    names = ("probability", "gradient", "root_second_moment", "gradient_ratio", "intended_in_walls")
    values = {f"{name}_median": falling * 10.0**place for place, name in enumerate(names)}
    values |= {"displacement_mean": np.where(falling > 1e-5, falling, 0)}
    values |= {"gradient_decay": np.sin(falling), "fastest_decay": np.full(updates, 5e-4)}
    return xr.Dataset(
        {name: ("update", array) for name, array in values.items() if name not in without}
        | {"eps": ((), 1e-8)},
        coords={"update": np.arange(1, updates + 1)},
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


def compared(runs: Sequence[tuple[dict, float | Mapping[str, float | str]]]) -> xr.Dataset:
    """Return the outcomes of runs, each with its settings and one number for all outcomes.

    Or with some outcomes by name: a number, or a text that says why there is none; others are 0.
    """
    members = tuple(
        Member(f"r{place}", settings, _found(values))
        for place, (settings, values) in enumerate(runs)
    )
    return compare(Experiment(members))


def _found(values: float | Mapping[str, float | str]) -> dict[str, tuple[float, str]]:
    by_name = values if isinstance(values, Mapping) else dict.fromkeys(OUTCOMES, values)
    known = dict.fromkeys(OUTCOMES, 0.0) | dict(by_name)
    return {
        name: (np.nan, one) if isinstance(one, str) else (one, "") for name, one in known.items()
    }


def varied(values: Mapping[str, Sequence], seeds: int, **of: object) -> xr.Dataset:
    """Return the outcomes of a grid of settings, each number another one.

    `of` are outcomes of all runs: numbers, or why there are none.
    """
    grid = [dict(zip(values, setting, strict=True)) for setting in product(*values.values())]
    numbers = iter(np.linspace(1 / 3, 2 / 3, len(grid) * seeds))
    return compared(
        [
            (setting | {"seed": seed}, dict.fromkeys(OUTCOMES, next(numbers)) | of)
            for setting in grid
            for seed in range(seeds)
        ]
    )


def outcomes(values: Mapping[tuple[str, int], float]) -> xr.Dataset:
    """Return the outcomes of runs that differ in a note and the seed."""
    return compared([({"note": note, "seed": seed}, one) for (note, seed), one in values.items()])


def flow(blocks: int = 2, run: str = "a", **settings: object) -> xr.Dataset:
    """Return a run's flow at the states 0 and 500, every number another one, not round."""
    branches = ["MLP", "attention"]
    names = [f"{branch} {block}" for block in range(blocks, 0, -1) for branch in branches]
    sizes = {"state": 2, "block": blocks, "output": 2, "stream": 5, "branch": 2}
    sizes["path"] = 1 + len(names)

    def numbers(*dims: str) -> tuple[tuple[str, ...], np.ndarray]:
        shape = [sizes[dim] for dim in dims]
        return dims, np.linspace(1 / 3, 2 / 3, np.prod(shape)).reshape(shape) / len(dims)

    return xr.Dataset(
        {
            "output_norm": numbers("state", "output"),
            "norm": numbers("state", "block", "stream"),
            "cosine": numbers("state", "block", "branch"),
            "share": numbers("state", "path"),
        },
        coords={
            "state": [0, 500],
            "block": np.arange(1, blocks + 1),
            "output": ["z", "h"],
            "stream": ["x2", "x1 by MLP", "x1", "x0 by attention", "x0"],
            "branch": branches,
            "path": ["residual path", *names],
        },
        attrs={"run": run, "spec": json.dumps(settings), "status": "complete"},
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


def tensors(costs: np.ndarray, run: str = "a") -> xr.Dataset:
    """Return a trade; `costs` is (stored bytes, seconds, compared, differing) over (choice,)."""
    names = ("stored_bytes", "read_time", "compared", "differing")
    answers = [[True, False], [True, True], [True, True], [True, True]]
    return xr.Dataset(
        {name: ("choice", np.asarray(row, float)) for name, row in zip(names, costs, strict=True)}
        | {"gives": (("choice", "result"), answers), "raw_bytes": ((), 2e6)},
        coords={
            "choice": ["W", "W, grad", "grad", "all four"],
            "result": ["freezing", "attribution"],
        },
        attrs={"run": run, "updates": 7, "measured_on": "A (R) CPU", "measured_cores": 3},
    )


def diverged(dataset: xr.Dataset, at: int) -> xr.Dataset:
    """Return the run cut off before update `at`, at which it diverged."""
    cut = dataset.isel(update=slice(0, at - 1))
    if "strata" in cut:
        cut = cut.isel(column=slice(0, at - 1))
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
