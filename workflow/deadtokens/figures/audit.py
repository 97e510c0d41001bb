"""How many recorded values a replay of the optimizer gets wrong, controls beside it.

From the first state, zero moments and the recorded gradients alone, the optimizer of each run of
the experiment is replayed over all updates and compared with the recorded W and moments, bit by
bit; with those that are not recorded, by the checksums that training took of every state. At the
left the run's own update; the others are controls, wrong on purpose, over the first updates: they
show that the comparison can fail. The strip at the bottom holds exact zeros.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.audit.reading import read_audit
from deadtokens.errors import UserError
from deadtokens.figures import command, style
from deadtokens.figures.axes import LogScaleWithZero
from deadtokens.figures.columns import NAMES, numbers, texts, typed
from deadtokens.figures.lines import MARKERS, strokes
from deadtokens.figures.runs import STEPS, Run, described, experiment, from_file

REPLAY = "the run's own update"
PROOF = "the same, by checksums"
COUNTS = ["compared", "differing"]
NEEDED = ("run", "spec", "status", "tensors", "checksums", "controls")
OPTIONAL = {"diverged_at": "diverged_at", STEPS: "updates"}
TYPES = NAMES | texts("check") | dict.fromkeys(COUNTS, "int64") | numbers("fraction")


def open_audits(paths: Sequence[Path]) -> list[xr.Dataset]:
    """Read audits, each as a dataset without variables.

    Raises
    ------
    UserError
        If a file is missing or is no audit.
    """
    return [_open(path) for path in paths]


def _open(path: Path) -> xr.Dataset:
    audit = read_audit(path)
    missing = [name for name in NEEDED if name not in audit]
    if missing:
        raise UserError(f"{path} is no audit of a run: it has no {missing[0]}; make it again")
    about = {name: audit[name] for name in NEEDED}
    about |= {name: audit[key] for name, key in OPTIONAL.items() if key in audit}
    return from_file(xr.Dataset(attrs=about), path)


def table(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Return the numbers drawn.

    Parameters
    ----------
    datasets : sequence of Dataset
        One run's audit each, in the attributes.

    Returns
    -------
    DataFrame
        One row a run and check: ``group``, ``regime``, ``label``, ``run``, ``check`` (the run's own
        update over all recorded tensors, the same over those known by checksums, or a control),
        ``compared`` and ``differing`` values or checksums, ``fraction``.
    """
    rows = pd.concat([_checks(run) for run in experiment(datasets)], ignore_index=True)
    rows["fraction"] = rows["differing"] / rows["compared"]
    return typed(rows, TYPES)


def _checks(run: Run) -> pd.DataFrame:
    kinds = ((REPLAY, "tensors"), (PROOF, "checksums"))
    replays = [
        {"check": check, **pd.DataFrame(tallies.values())[COUNTS].sum().to_dict()}
        for check, tallies in ((check, run.data.attrs[kind]) for check, kind in kinds)
        if tallies
    ]
    controls = [
        {"check": f"control: {name}", **{count: control[count] for count in COUNTS}}
        for name, control in run.data.attrs["controls"].items()
    ]
    rows = pd.DataFrame([*replays, *controls], columns=["check", *COUNTS])
    return described(rows, run)


@style.look()
def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=2.8)
    axes = figure.subplots()
    scale = LogScaleWithZero.spanning(table["fraction"])
    scale.apply(axes)
    checks = sorted(dict.fromkeys(table["check"]), key=lambda check: check not in (REPLAY, PROOF))
    by_group = strokes(table)
    marks = {run: MARKERS[place % len(MARKERS)] for place, run in enumerate(table["run"].unique())}
    for place, (run, rows) in enumerate(table.groupby("run", sort=False)):
        shift = 0.5 * (place + 0.5) / len(marks) - 0.25
        heights = scale.place(rows["fraction"])
        color = by_group[rows["group"].iloc[0]].color
        positions = [checks.index(check) + shift for check in rows["check"]]
        axes.plot(positions, heights, linestyle="", marker=marks[run], color=color, clip_on=False)
    axes.set_xlim(-0.5, len(checks) - 0.5)
    axes.set_xticks(range(len(checks)), [style.as_drawn(check, 20) for check in checks])
    axes.set_ylabel("fraction of compared values\nthat differ in a bit")
    axes.set_title(_result(table))
    style.legend_below(figure, _legend(table, by_group, marks) + scale.entries())
    return figure


def _result(table: pd.DataFrame) -> str:
    kinds = ((REPLAY, "recorded values"), (PROOF, "checksums of values not recorded"))
    sums = ((table[table["check"] == check][COUNTS].sum(), what) for check, what in kinds)
    parts = [f"{s['differing']:,} of {s['compared']:,} {what}" for s, what in sums if s["compared"]]
    return f"replays: {' and '.join(parts)} differ" if parts else "nothing was replayed"


def _legend(
    table: pd.DataFrame, by_group: dict[str, style.Stroke], marks: dict[str, str]
) -> list[tuple[object, str]]:
    names = table[["run", "group", "label"]].drop_duplicates()
    return [
        (Line2D([], [], linestyle="", marker=marks[run], color=by_group[group].color), label)
        for run, group, label in names.itertuples(index=False)
    ]


RECIPE = command.Recipe(
    name="audit",
    title="Replay of the optimizer",
    inputs="audit.json of each run of the experiment",
    open=open_audits,
    table=table,
    draw=draw,
)
