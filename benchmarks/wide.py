"""Memory and time of the analyses at a vocabulary of 10,000: python benchmarks/wide.py.

A short run on a synthetic text is trained and recorded by the command, with two segments and their
checkpoints; then each analysis runs by its command in a process of its own. Its peak does not grow
with the number of updates, so that a short run tells.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr
from arms import fresh_process
from memory import CRUCIBLE_TOKENS, ensure_measurable, largest_resident
from study import Row, alternate, describe, lines, load_average, with_settings

from deadtokens.cli import COMMANDS, call, reported
from deadtokens.run import layout
from deadtokens.run.spec import RunSpec
from deadtokens.text.read import digest

ANALYSES = (
    *("attribution", "stillness", "gradients", "backprop"),
    *("freezing", "sharpening", "drift", "indicators"),
)
LIVE = 0.63  # of the tokens, as in the Crucible
TEXT_LENGTH = 400_000
SEGMENTS = 2
MOST_MEMORY = 1000  # MB

for analysis in ANALYSES:  # in each process, before its clock starts
    importlib.import_module(f"deadtokens.{COMMANDS[analysis].module}")


@dataclass(frozen=True)
class Files:
    """What the training writes and the analyses read."""

    stream: Path
    census: Path
    segments: list[Path]
    checkpoints: list[Path]

    @classmethod
    def within(cls, folder: Path, segments: int = SEGMENTS) -> "Files":
        """Return the files' paths in a folder, of a run of so many segments."""
        numbers = range(segments)
        return cls(
            folder / "stream.nc",
            folder / "census.nc",
            [folder / layout.segment_name(number) for number in numbers],
            [folder / f"checkpoint-{number:03d}.safetensors" for number in numbers],
        )

    def arguments(self, command: str, output: Path) -> list[str]:
        """Return an analysis's command line."""
        words = [*(self.checkpoints if command == "backprop" else self.segments)]
        words += ["--output", output]
        if command == "gradients":
            words += ["--checkpoints", *self.checkpoints, "--stream", self.stream]
        if command == "backprop":
            words += ["--stream", self.stream, "--csv", output.with_suffix(".csv")]
        return [str(word) for word in words]


def write_text(files: Files, tokens: int) -> None:
    """Write a text whose live tokens have frequencies as 1 / rank, and its census."""
    generator, live = np.random.default_rng(0), int(LIVE * tokens)
    share = 1 / np.arange(1, live + 1)
    stream = generator.choice(live, TEXT_LENGTH, p=share / share.sum()).astype(np.int32)
    about = {"stream_sha256": digest(stream), "vocabulary_size": tokens}
    xr.Dataset({"token": ("position", stream)}, attrs=about).to_netcdf(files.stream)
    count = np.bincount(stream, minlength=tokens)
    strings = np.array([f"t{token}" for token in range(tokens)])
    columns = {
        "token_string": strings,
        "token_bytes": np.array([string.encode().hex() for string in strings]),
        "count": count,
        "dead": count == 0,
        "why_dead": np.where(count, "", "string never occurs"),
    }
    variables = {name: ("token", values) for name, values in columns.items()}
    xr.Dataset(variables, {"token": np.arange(tokens)}, about).to_netcdf(files.census)


def train_run(files: Files, spec: RunSpec) -> None:
    """Train and record the run, segment by segment."""
    for number, segment in enumerate(files.segments):
        options = {
            "--name": "wide",
            "--spec": spec.json_text(),
            "--segment": number,
            "--stream": files.stream,
            "--census": files.census,
            "--trajectory": segment,
            "--checkpoint": files.checkpoints[number],
        }
        if number:
            options["--previous"] = files.checkpoints[number - 1]
        call("train", [str(word) for option in options.items() for word in option])


def timed(connection: Connection, action: Callable[..., None], *arguments: object) -> None:
    """Send the CPU seconds of a call, and this process's largest resident size in bytes."""
    begin = time.process_time()
    action(*arguments)
    connection.send((time.process_time() - begin, largest_resident()))


def measure(action: Callable[..., None], *arguments: object) -> tuple[float, float]:
    """Return CPU time, in seconds, and peak memory, in bytes, of a call in a fresh process."""
    connection, join = fresh_process(timed, action, *arguments)
    answer = connection.recv()
    join()
    return answer


def rows(files: Files, folder: Path, commands: Sequence[str], repeats: int) -> list[Row]:
    """Return time and memory of each analysis, measured in turn."""

    def one(name: str) -> tuple[float, float]:
        return measure(call, name, files.arguments(name, folder / f"{name}.nc"))

    found = alternate({name: lambda name=name: one(name) for name in commands}, repeats)
    table = []
    for name, measured in found.items():
        peaks = [peak / 1e6 for _, peak in measured]
        table.append(Row(f"{name}: peak memory", peaks, "MB", at_most=MOST_MEMORY))
        table.append(Row("  CPU time", [seconds for seconds, _ in measured], "s"))
    return table


def report(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Yield the lines of the table."""
    sizes = {"batch": options.batch, "context": options.context}
    spec = with_settings(RunSpec(), options.updates, precision=options.precision, **sizes)
    files = Files.within(folder)
    write_text(files, options.tokens)
    seconds, peak = measure(train_run, files, spec)
    yield describe(spec)
    yield f"{options.precision}, batch {spec.batch} x {spec.context}; load {load_average()}"
    training = [
        Row("training and recording: peak memory", [peak / 1e6], "MB"),
        Row("  CPU time", [seconds], "s"),
    ]
    title = f"{SEGMENTS * options.updates} updates, {options.tokens:,} tokens"
    yield from lines(title, training + rows(files, folder, options.commands, options.repeats))


def main(arguments: Sequence[str]) -> None:
    """Train a run, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=CRUCIBLE_TOKENS)
    parser.add_argument("--updates", type=int, default=64, help="of each of two segments")
    parser.add_argument("--batch", type=int, default=RunSpec().batch)
    parser.add_argument("--context", type=int, default=RunSpec().context)
    parser.add_argument("--precision", default=RunSpec().precision)
    parser.add_argument("--commands", nargs="+", choices=ANALYSES, default=ANALYSES)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args(arguments)
    ensure_measurable()
    with TemporaryDirectory() as folder:
        for line in report(options, Path(folder)):
            print(line, flush=True)


if __name__ == "__main__":
    with reported(log=None):
        main(sys.argv[1:])
