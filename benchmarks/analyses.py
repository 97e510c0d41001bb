"""What freezing, sharpening and drift cost on one core: CPU time, passes over W, memory.

Each runs as its command, in a process of its own on one core, from the files to the written result:
imports, checksums and inflating included. CPU time, user and system, is what other work on the
machine disturbs least. The bits that a command inflates are counted in a run that is not timed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from study import Row, alternate, lines, load_average

from deadtokens.cli import call, reported
from deadtokens.training.size import BYTES
from deadtokens.trajectory import inflate
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import list_segments

COMMANDS = ("freezing", "sharpening", "drift")
MOST_SECONDS = 40  # of CPU, all together, for the default run
MOST_MEMORY = 1000  # MB
# Starts a command on so many cores. A process's peak memory begins with that of the one that starts
# it: this one is small.
STARTER = """
import json, os, sys
os.sched_setaffinity(0, range(int(sys.argv[1])))
_, status, usage = os.wait4(os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ), 0)
print(json.dumps([status, usage.ru_utime + usage.ru_stime, 1024 * usage.ru_maxrss]))
"""


@dataclass(frozen=True)
class Cost:
    """What a command took: wall and CPU time in seconds; its largest resident size in bytes."""

    wall: float
    cpu: float
    memory: int


def cost_of(command: str, segments: Sequence[str], cores: int) -> Cost:
    """Run a command on so many cores, one thread for each library."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with TemporaryDirectory() as folder:
        words = [command, *segments, "--output", str(Path(folder, "result"))]
        begin = time.perf_counter()
        starter = [sys.executable, "-S", "-c", STARTER, str(cores)]
        answer = subprocess.run(
            [*starter, sys.executable, "-m", "deadtokens", *words],
            env=os.environ | threads,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        wall = time.perf_counter() - begin
    status, cpu, memory = json.loads(answer.stdout)
    if status:
        raise RuntimeError(f"{command} failed")
    return Cost(wall, cpu, memory)


def inflated_by(command: str, segments: Sequence[str]) -> int:
    """Return the bytes of recorded bits that a command inflates."""
    with TemporaryDirectory() as folder, _counting() as sizes:
        call(command, [*segments, "--output", str(Path(folder, "result"))])
    return sum(sizes)


@contextmanager
def _counting() -> Iterator[list[int]]:
    sizes, decode = [], inflate.decode_chunk

    def counted(*arguments: object) -> np.ndarray:
        bits = decode(*arguments)
        sizes.append(bits.nbytes)
        return bits

    inflate.decode_chunk = counted
    try:
        yield sizes
    finally:
        inflate.decode_chunk = decode


def rows(segments: Sequence[str], repeats: int) -> list[Row]:
    """Return each command's CPU time, passes, speed and memory, measured in turn."""
    run = open_run(segments)
    bits_of_W = run["W"].size * BYTES[run["W"].attrs["recorded_dtype"]]
    measures = {name: lambda name=name: cost_of(name, segments, cores=1) for name in COMMANDS}
    found, table = alternate(measures, repeats), []
    for name, costs in found.items():
        inflated, seconds = inflated_by(name, segments), [cost.cpu for cost in costs]
        speeds = [inflated / 1e6 / second for second in seconds]
        table += [
            Row(f"{name}: CPU time", seconds, "s"),
            Row("  bits inflated", [inflated / 1e6], "MB"),
            Row("  the same, in passes over W", [inflated / bits_of_W]),
            Row("  speed", speeds, "MB/s"),
            Row("  peak memory", [cost.memory / 1e6 for cost in costs], "MB", at_most=MOST_MEMORY),
        ]
    together = [sum(cost.cpu for cost in one) for one in zip(*found.values(), strict=True)]
    table.append(Row("all three together: CPU time", together, "s", at_most=MOST_SECONDS))
    return table


def main(arguments: Sequence[str]) -> None:
    """Measure a run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trajectory", type=Path, help="folder with the run's segments")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    segments = [str(path) for path in list_segments(options.trajectory, check=False)]
    print(f"load {load_average()}")
    for line in lines(str(options.trajectory), rows(segments, options.repeats)):
        print(line, flush=True)


if __name__ == "__main__":
    with reported(log=None):
        main(sys.argv[1:])
