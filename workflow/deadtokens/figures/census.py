"""The vocabulary's dead tokens by cause, its live ones by script and by frequency.

Counted over the whole tokenized training text. A dead token (called an unused token in the
literature) never occurs in it; here all others are called live, though a run may meet some of them
in no batch (in figures of runs: never sampled). Left: the dead tokens by cause and the live tokens
by script. Right: how often each live token occurs, by rank. Causes, the first that holds: *reserved
row*, of the vocabulary's `unused` ones, which no text gives; *byte never used*, a single byte that
the text does not contain; *always absorbed*, the text contains the string, but the tokenizer makes
other tokens of it every time; *other script*, a character of it certainly belongs to a script that
the text does not use; *string never occurs*, all the rest.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from deadtokens.errors import UserError
from deadtokens.figures import command, style
from deadtokens.figures.axes import draw_named_bars
from deadtokens.figures.columns import texts, typed
from deadtokens.figures.inputs import open_dataset

DEAD, LIVE, RANKED = "dead by cause", "live by script", "live by rank"
OF_THE_TEXT = "in the text, sampled by a run or not"
MOST_BARS = 10
TYPES = texts("vocabulary", "series", "category") | dict.fromkeys(
    ("rank", "tokens", "occurrences"), "Int64"
)


def open_censuses(paths: Sequence[Path]) -> list[xr.Dataset]:
    """Read each vocabulary's census; the folder it lies in names the vocabulary.

    Raises
    ------
    UserError
        If a file is missing, unreadable or no census.
    """
    variables = ("script", "count", "dead", "why_dead")
    return [
        open_dataset(path, variables, ()).assign_attrs(vocabulary=path.resolve().parent.name)
        for path in paths
    ]


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One vocabulary's census each: ``script``, ``count``, ``dead`` and ``why_dead`` over
        ``token``, and the attribute ``vocabulary``.

    Returns
    -------
    DataFrame
        ``vocabulary``, ``series``, and for a bar ``category`` and ``tokens``, for a point of the
        rank-frequency line ``rank`` and ``occurrences``. Of live tokens that occur equally often
        the first and the last rank are listed: the line between them is level.

    Raises
    ------
    UserError
        If two censuses are of one vocabulary.
    """
    names = [dataset.attrs["vocabulary"] for dataset in datasets]
    if len(set(names)) < len(names):
        raise UserError("a vocabulary's census is given twice: name each vocabulary's once")
    parts = [_census(data).assign(vocabulary=data.attrs["vocabulary"]) for data in datasets]
    rows = pd.concat(parts, ignore_index=True)
    return typed(rows, TYPES)


def _census(data: xr.Dataset) -> pd.DataFrame:
    dead = data["dead"].values.astype(bool)
    causes = pd.Series(data["why_dead"].values[dead].astype(object))
    scripts = pd.Series(data["script"].values[~dead].astype(object))
    bars = [_bars(causes, DEAD), _bars(scripts, LIVE)]
    line = ranked(data["count"].values[~dead]).assign(series=RANKED, category="")
    return pd.concat([*bars, line])


def _bars(names: pd.Series, series: str) -> pd.DataFrame:
    """Count the names, the commonest first; what exceeds the space goes into one last bar."""
    counts = names.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    if len(counts) > MOST_BARS:
        rest = counts.iloc[MOST_BARS - 1 :]
        others = pd.Series({f"others ({len(rest)})": rest.sum()})
        counts = pd.concat([counts.iloc[: MOST_BARS - 1], others])
    return pd.DataFrame(
        {"series": series, "category": counts.index.astype("str"), "tokens": counts.to_numpy()}
    )


def ranked(occurrences: np.ndarray) -> pd.DataFrame:
    """Sort tokens by frequency and keep the first and the last rank of each run of ties.

    Parameters
    ----------
    occurrences : ndarray of int, of shape (tokens,)
    """
    falling = np.sort(occurrences)[::-1]
    starts = np.flatnonzero(np.diff(falling, prepend=np.inf))
    ends = np.flatnonzero(np.diff(falling, append=-np.inf))
    kept = np.union1d(starts, ends)
    return pd.DataFrame({"rank": kept + 1, "occurrences": falling[kept]})


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    vocabularies = [part for _, part in table.groupby("vocabulary", sort=False)]
    bars = [(part["series"] == series).sum() for part in vocabularies for series in (DEAD, LIVE)]
    figure = style.blank(height=0.2 + 0.16 * sum(bars) + 1.2 * len(vocabularies))
    grid = figure.add_gridspec(len(bars), 2, height_ratios=[max(1.5, number) for number in bars])
    titles = {}
    for place, part in enumerate(vocabularies):
        name = part["vocabulary"].iloc[0] if len(vocabularies) > 1 else ""
        above = figure.add_subplot(grid[2 * place, 0])
        below = figure.add_subplot(grid[2 * place + 1, 0], sharex=above)
        dead, live = (part[part["series"] == series] for series in (DEAD, LIVE))
        _draw_bars(above, dead, "dead")
        _draw_bars(below, live, "live")
        titles[above] = _title("dead tokens by cause", dead, name)
        titles[below] = f"{_title('live tokens by script', live, '')}\n{OF_THE_TEXT}"
        above.tick_params(labelbottom=False)
        below.set_xlabel("tokens")
        right = figure.add_subplot(grid[2 * place : 2 * place + 2, 1])
        titles[right] = _title("live tokens by frequency", live, name)
        _draw_ranks(right, part)
    style.set_titles(figure, titles)
    return figure


def _title(title: str, bars: pd.DataFrame, vocabulary: str) -> str:
    above = f"{style.as_drawn(vocabulary, 45)}\n" if vocabulary else ""
    return f"{above}{title} (n = {bars['tokens'].sum():,})"


def _draw_bars(axes: Axes, rows: pd.DataFrame, population: str) -> None:
    texts = [f"{number:,}" for number in rows["tokens"]]
    look = {"color": style.POPULATIONS[population].color, "height": 0.7}
    draw_named_bars(axes, rows["category"], rows["tokens"].astype("int64"), texts, **look)
    axes.margins(x=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(style.THOUSANDS)


def _draw_ranks(axes: Axes, rows: pd.DataFrame) -> None:
    line = rows[rows["series"] == RANKED].astype({"rank": "int64", "occurrences": "int64"})
    dead = rows.loc[rows["series"] == DEAD, "tokens"].sum()
    axes.loglog(line["rank"], line["occurrences"], color=style.POPULATIONS["live"].color)
    axes.set_xlabel("rank of the token")
    axes.set_ylabel("occurrences in the training text")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(style.THOUSANDS)
        axis.set_minor_locator(NullLocator())
    note = f"the {dead:,} dead tokens\noccur 0 times: not drawn"
    axes.text(0.03, 0.04, note, transform=axes.transAxes, va="bottom", fontsize=7.5)


RECIPE = command.Recipe(
    name="census",
    title="Dead and live tokens of the vocabulary",
    inputs="census.nc of each vocabulary of the experiment",
    open=open_censuses,
    table=table,
    draw=draw,
)
