"""How fast attribution, audit and the causes of stillness go through a recorded run; their memory.

Each runs as its command, from the files to the written result: imports, reading and inflating
included. The files' checksums are compared too, as always.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analyses import MOST_MEMORY, cost_of
from study import Row, alternate, lines, load_average

from deadtokens.cli import reported
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import list_segments

COMMANDS = ("attribution", "audit", "stillness")
TARGETS = {"attribution": 150, "audit": 150}  # updates a second, two quiet cores, default size
CORES = 2


def rows(segments: Sequence[str], updates: int, repeats: int) -> list[Row]:
    """Return speed, CPU time and memory of each command, measured in turn."""
    measures = {name: lambda name=name: cost_of(name, segments, CORES) for name in COMMANDS}
    table = []
    for name, costs in alternate(measures, repeats).items():
        speeds = [updates / cost.wall for cost in costs]
        of_one = [1000 * cost.cpu / updates for cost in costs]
        peaks = [cost.memory / 1e6 for cost in costs]
        table.append(Row(f"{name}, {updates:,} updates", speeds, "/s", at_least=TARGETS.get(name)))
        table.append(Row("  CPU time of an update", of_one, "ms"))
        table.append(Row("  peak memory", peaks, "MB", at_most=MOST_MEMORY))
    return table


def main(arguments: Sequence[str]) -> None:
    """Measure a run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trajectory", type=Path, help="folder with the run's segments")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    segments = [str(path) for path in list_segments(options.trajectory, check=False)]
    run = open_run(segments)
    print(f"load {load_average()}")
    for line in lines(str(run.attrs["run"]), rows(segments, run.sizes["update"], options.repeats)):
        print(line, flush=True)


if __name__ == "__main__":
    with reported(log=None):
        main(sys.argv[1:])
