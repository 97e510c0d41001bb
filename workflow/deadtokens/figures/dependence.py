"""Whether a token's drift depends on what the token is.

One mark a run; intervals and grey ranges are over tokens of that run, which share one model and one
order of batches, and say nothing of another seed or processor. A token's net displacement is split
into its part along the drift of its population (``score`` in ``drift.nc``) and the length of the
rest beside it (``residual``). Above: Spearman's rank correlation of both with numbers that are
known of a token, and its 95 % confidence interval (where no line is seen it is narrower than the
mark); tokens without such a number, as bytes have no rank among the merges, are left out. "h" is
the mean hidden state of updates 1 to 10. Below that: the same with where a token ends along the
drift (diamond, half filled), and with where it began (dash): as much of the diamond is position
that the token kept. Centre: the share of their variance that lies between classes of tokens; grey
is what classes dealt at random give, so a mark within it means nothing. Below: do tokens that are
alike drift alike? The correlation, over pairs of up to 300 tokens, of their likeness (bytes in
common; cosine of their initial positions about the mean) with the cosine of their net
displacements, the mean taken out of both; grey is what shuffled tokens give. What a dead token
spells cannot matter by construction: its text is never read and all rows are drawn alike, so its
length, rank, script, cause of death and spelling are controls here and no findings. In a cloud that
contracts, tokens that start near each other drift alike, and those that start far out go further
beside the drift. "Not defined": the tokens do not differ in it, too few have it, or none moved. Of
twenty intervals or grey ranges one excludes chance by chance: marks are filled by a rule for all
tests of a run together (Benjamini and Hochberg), so that of the filled ones at most 5 % are
expected to be chance; diamonds and dashes are not tested. The properties are not independent of
each other: the figure shows effects, not causes. Seeds are not averaged.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deadtokens.figures import style
from deadtokens.figures.columns import NAMES, TOKENS, numbers, texts
from deadtokens.figures.lines import strokes
from deadtokens.figures.named_rows import (
    group_marks,
    label_rows,
    mark,
    places_of,
    row_height,
    say_not_defined,
)
from deadtokens.figures.runs import Run, described, populations, recipe_of_runs

NUMBER, PLACE = "correlation", "correlation with the place at the end"
CLASS, PAIRS = "variance between classes", "pairs"
# what is held against the drift, by kind: name in the file, and in the figure
ROWS = {
    NUMBER: {
        "length_bytes": "length in bytes",
        "length_characters": "length in characters",
        "merge_rank": "rank among the merges",
        "count": "occurrences in the text",
        "initial norm": "initial norm",
        "initial place along the drift": "initial place along drift",
        "initial cosine to h": "initial cosine to h",
    },
    PLACE: {
        "initial place along the drift": "initial place along drift",
        "initial cosine to h": "initial cosine to h",
    },
    CLASS: {"script": "script", "why_dead": "cause of death"},
    PAIRS: {"spelling": "similar spelling", "initial position": "near at the start"},
}
AXES = {
    NUMBER: "rank correlation",
    PLACE: "rank correlation with the place along the drift,\nat the end and at the start",
    CLASS: "share of variance\nbetween classes",
    PAIRS: "correlation, over pairs of tokens,\nof likeness with direction of drift",
}
RESPONSES = {"score": "along the drift", "residual": "beside the drift"}
POPULATIONS = ("dead", "live")
NULL = {"color": "#d3d3d3", "linewidth": 4, "solid_capstyle": "butt", "zorder": 1}
# Neither filled nor open: these are no tests.
AT_END = {"marker": "D", "markersize": 4, "fillstyle": "left", "markerfacecoloralt": "white"}
AT_START = {"marker": "|", "markersize": 6, "markeredgewidth": 1.2}
NEEDED = (
    *("effect", "effect_range", "effect_tokens", "property", "response", "population", "dead"),
    *("likeness_effect", "likeness_range", "likeness_tokens", "likeness"),
    *("effect_beyond_chance", "likeness_beyond_chance"),
    *("place_effect", "place_effect_range", "number", "place"),
)
TYPES = (
    NAMES
    | texts("population")
    | {"members": "int64"}
    | texts("kind", "response", "property")
    | TOKENS
    | numbers("value", "low", "high")
    | {"beyond_chance": "boolean"}
    | numbers("at_start")
)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    """Yield the effects of each run, ``population`` of so many ``members``, kind and response.

    An effect is the ``value`` of so many ``tokens`` with ``low`` and ``high``, of correlations
    their 95 % confidence interval, else the range of 95 % of random assignments; and whether it is
    ``beyond_chance`` among all tests of the run. Those on the place at the end are no tests, and
    have the same of the place ``at_start`` beside them. One that is not defined has no row.
    """
    effects = [(kind, response) for kind in ROWS for response in _responses(kind)]
    for run in runs:
        members = populations(run)
        for population in filter(members.get, POPULATIONS):
            data = run.data.sel(population=population)
            about = {"population": population, "members": members[population]}
            for kind, response in effects:
                rows = _effects(data, kind, response).dropna(subset="value")
                yield described(rows.assign(**about), run)


def _responses(kind: str) -> Sequence[str]:
    return [""] if kind in (PAIRS, PLACE) else list(RESPONSES)


def _effects(data: xr.Dataset, kind: str, response: str) -> pd.DataFrame:
    """Return the effects of one kind on one response, in one run and population."""
    if kind == PLACE:
        return _place_effects(data)
    prefix, axis, effect = (
        ("likeness", "likeness", "likeness_effect")
        if kind == PAIRS
        else ("effect", "property", "effect")
    )
    chosen = data.sel({axis: list(ROWS[kind])} | ({"response": response} if response else {}))
    low, high = chosen[f"{prefix}_range"].values.T
    return pd.DataFrame(
        {
            "kind": kind,
            "response": response,
            "property": list(ROWS[kind].values()),
            "tokens": chosen[f"{prefix}_tokens"].values,
            "value": chosen[effect].values,
            "low": low,
            "high": high,
            "beyond_chance": chosen[f"{prefix}_beyond_chance"].values,
        }
    )


def _place_effects(data: xr.Dataset) -> pd.DataFrame:
    """Return the correlations with the place along the drift, in one run and population."""
    chosen = data.sel(number=list(ROWS[PLACE]))
    low, high = chosen["place_effect_range"].sel(place="end").values.T
    return pd.DataFrame(
        {
            "kind": PLACE,
            "response": "",
            "property": list(ROWS[PLACE].values()),
            "value": chosen["place_effect"].sel(place="end"),
            "low": low,
            "high": high,
            "at_start": chosen["place_effect"].sel(place="start"),
        }
    )


def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    if table.empty:
        return style.empty("no motion of dead tokens")
    runs = list(dict.fromkeys(table["run"]))
    heights = [len(names) * row_height(len(runs)) for names in ROWS.values()]
    figure = style.blank(height=sum(heights) + 2.0)
    grid = figure.add_gridspec(len(ROWS), 4, height_ratios=heights)
    by_group = strokes(table)
    for line, kind in enumerate(ROWS):
        parts = table[table["kind"] == kind]
        for column, (population, response) in enumerate(_columns(kind)):
            width = 4 // len(_columns(kind))
            axes = figure.add_subplot(grid[line, column * width : (column + 1) * width])
            mine = (parts["population"] == population) & (parts["response"] == response)
            _scale(axes, kind, parts, labelled=column == 0)
            _draw_panel(axes, kind, parts[mine], runs, by_group)
            axes.set_title("" if kind in (PLACE, CLASS) else _title(table, population, response))
    style.legend_below(figure, _legend(table, by_group))
    return figure


def _columns(kind: str) -> list[tuple[str, str]]:
    return [(population, response) for population in POPULATIONS for response in _responses(kind)]


def _title(table: pd.DataFrame, population: str, response: str) -> str:
    if not (table["population"] == population).any():
        return f"no {population} tokens\nrecorded"
    return f"{population} tokens" + (f",\n{RESPONSES[response]}" if response else "")


def _scale(axes: Axes, kind: str, parts: pd.DataFrame, labelled: bool) -> None:
    """Give the panels of one kind the same axes; the first one names the rows."""
    names = list(ROWS[kind].values())
    label_rows(axes, names, labelled)
    ends = [0, *parts["value"], *parts["high"]]
    if kind in (NUMBER, PLACE):
        axes.set_xlim(-1.05, 1.05)
        axes.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "", "0", "", "1"])
    else:
        lowest = min([0, *parts["value"], *parts["low"]])
        margin = 0.07 * (max(ends) - lowest or 1)
        axes.set_xlim(lowest - margin, max(ends) + margin)
        axes.xaxis.set_major_locator(MaxNLocator(3 if kind == CLASS else 6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", "−")))
    axes.set_xlabel(AXES[kind])
    axes.axvline(0, color=style.NEUTRAL, linewidth=0.6, zorder=0)


def _draw_panel(
    axes: Axes,
    kind: str,
    rows: pd.DataFrame,
    runs: Sequence[str],
    by_group: dict[str, style.Stroke],
) -> None:
    names = list(ROWS[kind].values())
    places = places_of(rows["property"], names, rows["run"], runs)
    of_test = ["group", "beyond_chance"]
    for (group, beyond), marks in rows.groupby(of_test, sort=False, dropna=False):
        stroke, heights = by_group[group], [places[marks.index]]
        interval = NULL if kind in (CLASS, PAIRS) else {"color": stroke.color, "linewidth": 1.1}
        axes.plot([marks["low"], marks["high"]], 2 * heights, **interval)
        if kind == PLACE:
            axes.plot([marks["value"]], heights, **mark(stroke) | AT_END)
            axes.plot([marks["at_start"]], heights, **mark(stroke) | AT_START)
        else:
            axes.plot([marks["value"]], heights, **mark(stroke, beyond))
    say_not_defined(axes, names, rows["property"])


def _legend(table: pd.DataFrame, by_group: dict[str, style.Stroke]) -> list[tuple[object, str]]:
    entries = group_marks(table, by_group, linestyle="-", linewidth=1.1)
    neutral = style.Stroke(style.NEUTRAL)
    about = {
        True: "filled: more than chance, all tests of a run considered",
        False: "open: chance can give it",
    }
    entries += [(Line2D([], [], **mark(neutral, key)), text) for key, text in about.items()]
    of_places = {"at the end": AT_END, "at the start": AT_START}
    entries += [
        (Line2D([], [], **mark(neutral) | look), f"with the place {when}: not tested")
        for when, look in of_places.items()
    ]
    entries.append((Line2D([], [], **NULL), "what 95 % of random assignments give"))
    return entries


RECIPE = recipe_of_runs(
    "dependence",
    "What a token's drift depends on",
    "drift.nc",
    NEEDED,
    rows=_rows,
    types=TYPES,
    draw=draw,
)
