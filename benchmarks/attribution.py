"""How fast the attribution and the audit go through a recorded run, and their memory.

Each runs its command in a process of its own, from the files to the written result: reading and
inflating included. The files' checksums are compared too, as always.
"""

import argparse
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from arms import fresh_process
from memory import STATUS
from study import Row, alternate, lines, load_average

from deadtokens.accounting import attribution, audit
from deadtokens.errors import UserError
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import list_segments

COMMANDS = {"attribution": (attribution.main, ".nc"), "audit": (audit.main, ".json")}
TARGETS = {"attribution": 100, "audit": 150}  # updates a second, two quiet cores, default size
MOST_MEMORY = 1000  # MB


def run_command(connection: Connection, name: str, segments: Sequence[str]) -> None:
    """Send the seconds that a command took, and its process's largest resident size in bytes."""
    main, ending = COMMANDS[name]
    with TemporaryDirectory() as folder:
        begin = time.perf_counter()
        main([*segments, "--output", str(Path(folder, name + ending))])
        seconds = time.perf_counter() - begin
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    connection.send((seconds, 1024 * int(fields["VmHWM"].removesuffix("kB"))))


def measure(name: str, segments: Sequence[str]) -> tuple[float, float]:
    """Return a command's wall time, in seconds, and its peak memory, in bytes."""
    connection, join = fresh_process(run_command, name, segments)
    answer = connection.recv()
    join()
    return answer


def rows(segments: Sequence[str], updates: int, repeats: int) -> list[Row]:
    """Return speed and memory of each command, measured in turn."""
    measures = {name: lambda name=name: measure(name, segments) for name in COMMANDS}
    found = alternate(measures, repeats)
    table = []
    for name, measured in found.items():
        speeds = [updates / seconds for seconds, _ in measured]
        peaks = [peak / 1e6 for _, peak in measured]
        table.append(Row(f"{name}, {updates:,} updates", speeds, "/s", at_least=TARGETS[name]))
        table.append(Row("  peak memory", peaks, "MB", at_most=MOST_MEMORY))
    return table


def main(arguments: Sequence[str]) -> None:
    """Measure a run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trajectory", type=Path, help="folder with the run's segments")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    if not STATUS.is_file():
        raise UserError("memory is measured on Linux alone: /proc/self/status is missing")
    segments = [str(path) for path in list_segments(options.trajectory, check=False)]
    run = open_run(segments)
    print(f"load {load_average()}")
    for line in lines(str(run.attrs["run"]), rows(segments, run.sizes["update"], options.repeats)):
        print(line, flush=True)


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
