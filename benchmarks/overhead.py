"""Targets 1 and 2: what recording adds to a training, ours and one step at a time."""

from collections.abc import Callable, Sequence

from arms import Crew, hire
from study import Row, Run, alternate, ratios

WARMING = 5  # updates of each kind that are not counted: what a process does first is slower
# processes, threads of each
SETTINGS = {
    "one run, 1 thread": (1, 1),
    "two runs at once, 1 thread each": (2, 1),
    "one run, 2 threads": (1, 2),
}


def measure_arms(
    run: Run, updates: int, repeats: int, arms: Sequence[str]
) -> dict[str, tuple[dict[str, list[float]], dict[str, int]]]:
    """Return, for each setting, every arm's wall times in seconds and the bytes of its file."""
    measured = {}
    for setting, (processes, threads) in SETTINGS.items():
        with hire(run, processes, threads) as crew:
            for arm in arms:
                crew.time(arm, min(updates, WARMING))
            measured[setting] = alternate(_timers(crew, arms, updates), repeats), crew.bytes
    return measured


def _timers(crew: Crew, arms: Sequence[str], updates: int) -> dict[str, Callable[[], float]]:
    return {arm: lambda arm=arm: crew.time(arm, updates) for arm in arms}


def overhead_rows(measured: dict, updates: int) -> list[Row]:
    """Return what recording all four tensors costs in units of the training itself."""
    rows = []
    for setting, (wall, _) in measured.items():
        speed = [updates / one for one in wall["bare"]]
        rows += [
            Row(f"{setting}: not recorded", speed, "/s"),
            Row("  recorded / not recorded", ratios(wall["recorded"], wall["bare"]), at_most=1.15),
            Row("  trainer, not recorded / plain loop", ratios(wall["unrecorded"], wall["bare"])),
        ]
    return rows


def baseline_rows(measured: dict, updates: int) -> list[Row]:
    """Return the time added to each update, ours against one step at a time, and the files."""
    rows = []
    for setting, (wall, stored) in measured.items():
        ours = _added(wall["recorded"], wall["bare"], updates)
        theirs = _added(wall["stepwise"], wall["bare"], updates)
        rows += [
            Row(f"{setting}: added, one step at a time", theirs, "ms"),
            Row("  added, ours", ours, "ms"),
            Row("  one step at a time / ours", ratios(theirs, ours), at_least=8),
            Row("  file, ours / one step at a time", [stored["recorded"] / stored["stepwise"]],
                at_most=0.75),
        ]  # fmt: skip
    return rows


def _added(wall: Sequence[float], bare: Sequence[float], updates: int) -> list[float]:
    """Return milliseconds per update."""
    return [1000 * (one - other) / updates for one, other in zip(wall, bare, strict=True)]
