"""How many recorded values a replay of the optimizer gets wrong, controls beside it.

From the first state, zero moments and the recorded gradients alone, the optimizer of each run of
the experiment is replayed over all updates and compared with the recorded W and moments, bit by
bit; with those that are not recorded, by the checksums that training took of every state. At the
left the run's own update; the others are controls, wrong on purpose, over the first updates: they
show that the comparison can fail. The strip at the bottom holds exact zeros.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deadtokens.audit.reading import in_words, read_audit
from deadtokens.errors import UserError
from deadtokens.figures import style
from deadtokens.figures.axes import LogScaleWithZero
from deadtokens.figures.columns import NAMES, numbers, texts
from deadtokens.figures.inputs import LACKING, RECORDED
from deadtokens.figures.lines import MARKERS, strokes
from deadtokens.figures.runs import STEPS, Run, described, from_file, recipe_of_runs

REPLAY = "the run's own update"
PROOF = "the same, by checksums"
IMPLEMENTATION, CONTROL = "by ", "control: "
COUNTS = ["compared", "differing"]
CHARACTERS = 100  # that the names of all checks have side by side, on as many lines as they need
ABOUT = ("run", "status")
NEEDED = (*ABOUT, "tensors", "checksums", "controls")
OPTIONAL = {"diverged_at": "diverged_at", "spec": "spec", RECORDED: RECORDED, STEPS: "updates"}
TRIED = "implementations"  # of a recording: by which of torch's it is replayed
TYPES = NAMES | texts("check") | dict.fromkeys(COUNTS, "int64") | numbers("fraction")


def open_audits(paths: Sequence[Path], needed: Sequence[str] = NEEDED) -> list[xr.Dataset]:
    """Read audits, each as a dataset without variables.

    Raises
    ------
    UserError
        If a file is missing or is no audit.
    """
    return [_open(path, needed) for path in paths]


def _open(path: Path, needed: Sequence[str]) -> xr.Dataset:
    audit = read_audit(path)
    about = ABOUT if "left_out" in audit else needed
    about = (*about, *(() if RECORDED in audit else ("spec",)))
    missing = [name for name in about if name not in audit]
    if missing:
        raise UserError(f"{path} is no audit of a run: it has no {missing[0]}; make it again")
    said = {name: audit[name] for name in (*about, TRIED) if name in audit}
    said |= {name: audit[key] for name, key in OPTIONAL.items() if key in audit}
    lacking = [name for name in needed if name not in audit]
    said |= {LACKING: lacking} if lacking else {}
    return from_file(xr.Dataset(attrs=said), path)


def _rows(runs: Sequence[Run]) -> Iterator[pd.DataFrame]:
    """Yield each run's checks, and of each how many values or checksums were compared and differ.

    They are the run's own update over all recorded tensors, of a recording each implementation that
    was tried, the same over those known by checksums, and the controls.
    """
    for run in runs:
        rows = pd.DataFrame(_checks(run.data.attrs), columns=["check", *COUNTS])
        yield described(rows.assign(fraction=rows["differing"] / rows["compared"]), run)


def _checks(audit: Mapping) -> Iterator[dict]:
    for name, tried in audit.get(TRIED, {}).items():
        if "refused" not in tried:
            yield {"check": f"{IMPLEMENTATION}{in_words(name)}"} | _sum(tried["tensors"])
    for check, kind in ((REPLAY, "tensors"), (PROOF, "checksums")):
        if audit[kind] and not audit.get(TRIED):
            yield {"check": check} | _sum(audit[kind])
    for name, control in audit["controls"].items():
        yield {"check": f"{CONTROL}{name}"} | {count: control[count] for count in COUNTS}


def _sum(tallies: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {count: sum(tally[count] for tally in tallies.values()) for count in COUNTS}


def draw(table: pd.DataFrame) -> Figure:
    """Draw the figure from its table alone."""
    figure = style.blank(height=2.8)
    axes = figure.subplots()
    scale = LogScaleWithZero.spanning(table["fraction"])
    scale.apply(axes)
    checks = sorted(dict.fromkeys(table["check"]), key=lambda check: check.startswith(CONTROL))
    by_group = strokes(table)
    marks = {run: MARKERS[place % len(MARKERS)] for place, run in enumerate(table["run"].unique())}
    for place, (run, rows) in enumerate(table.groupby("run", sort=False)):
        shift = 0.5 * (place + 0.5) / len(marks) - 0.25
        heights = scale.place(rows["fraction"])
        color = by_group[rows["group"].iloc[0]].color
        positions = [checks.index(check) + shift for check in rows["check"]]
        axes.plot(positions, heights, linestyle="", marker=marks[run], color=color, clip_on=False)
    axes.set_xlim(-0.5, len(checks) - 0.5)
    width = min(20, CHARACTERS // len(checks))
    axes.set_xticks(range(len(checks)), [style.as_drawn(check, width) for check in checks])
    axes.set_ylabel("fraction of compared values\nthat differ in a bit")
    axes.set_title(style.as_drawn(_result(table), 100))
    style.legend_below(figure, _legend(table, by_group, marks) + scale.entries())
    return figure


def _result(table: pd.DataFrame) -> str:
    kinds = ((REPLAY, "recorded values"), (PROOF, "checksums of values not recorded"))
    sums = ((table[table["check"] == check][COUNTS].sum(), what) for check, what in kinds)
    parts = [f"{s['differing']:,} of {s['compared']:,} {what}" for s, what in sums if s["compared"]]
    own = [f"replays: {' and '.join(parts)} differ"] if parts else []
    return "; ".join([*own, *_recordings(table)]) or "nothing was replayed"


def _recordings(table: pd.DataFrame) -> Iterator[str]:
    """Yield of each recording which implementations give its bits, or how near the best comes."""
    tried = table[table["check"].str.startswith(IMPLEMENTATION)]
    for _, rows in tried.groupby("run", sort=False):
        names = rows["check"].str.removeprefix(IMPLEMENTATION)
        best = rows.loc[rows["differing"].idxmin()]
        found = f"bits given back by {' and '.join(names[rows['differing'] == 0])}"
        if best["differing"]:
            found = f"at best {best['differing']:,} of {best['compared']:,} values differ"
        yield f"{best['label']}: {found}"


def _legend(
    table: pd.DataFrame, by_group: dict[str, style.Stroke], marks: dict[str, str]
) -> list[tuple[object, str]]:
    names = table[["run", "group", "label"]].drop_duplicates()
    return [
        (Line2D([], [], linestyle="", marker=marks[run], color=by_group[group].color), label)
        for run, group, label in names.itertuples(index=False)
    ]


RECIPE = recipe_of_runs(
    "audit",
    "Replay of the optimizer",
    "audit.json",
    NEEDED,
    rows=_rows,
    types=TYPES,
    draw=draw,
    open=open_audits,
)
