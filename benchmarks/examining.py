"""What examining a large embedding takes: python benchmarks/examining.py. It needs no results.

A bfloat16 matrix of random rows with a planted black hole is written, as one safetensors file with
a vocabulary beside it, and examined by the command, in a process of its own. Whether the black hole
is found is checked first; then come times and peak memory.
"""

import argparse
import json
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from analyses import cost_of
from study import Row, lines, load_average

from deadtokens.cli import reported
from deadtokens.costs.storage import processor_name

VECTORS = 13  # of the black hole, each a unit from the first one
HELD = 2200  # tokens on them
ROWS = 4096  # written together
SECONDS, MEGABYTES = 120, 1500  # targets


def write_model(folder: Path, tokens: int, width: int) -> None:
    """Write a matrix with a black hole, and the vocabulary."""
    generator = np.random.default_rng(0)
    about = {"dtype": "BF16", "shape": [tokens, width], "data_offsets": [0, 2 * tokens * width]}
    header = json.dumps({"model.embed_tokens.weight": about}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for start in range(0, tokens, ROWS):
            file.write(_random(generator, min(ROWS, tokens - start), width).tobytes())
    rows = generator.permutation(tokens)[: min(HELD, tokens // 2)]
    matrix = np.memmap(folder / "model.safetensors", "<u2", "r+", 8 + len(header), (tokens, width))
    vector = matrix[rows[0]].copy()
    for place, row in enumerate(rows):
        matrix[row] = vector
        matrix[row, place % VECTORS] += place % VECTORS > 0
    matrix.flush()
    vocabulary = {f"token{index}": index for index in range(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")


def _random(generator: np.random.Generator, rows: int, width: int) -> np.ndarray:
    values = generator.normal(0, 0.02, (rows, width)).astype("<f4")
    return (values.view("<u4") >> 16).astype("<u2")


def held_together(table: Path) -> int:
    """Return how many suspects lie in the largest cluster."""
    return int(pd.read_csv(table)["hole"].loc[lambda hole: hole >= 0].value_counts().max())


def measure(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"{processor_name()}, {os.cpu_count()} cores; load {load_average()}"
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        table = folder / "suspects.csv"
        write_model(folder, options.tokens, options.width)
        words = [str(folder), "--csv", str(table)]
        costs = [cost_of("examine", words, os.cpu_count()) for _ in range(options.repeats)]
        found = held_together(table)
    if found != min(HELD, options.tokens // 2):
        raise RuntimeError(f"the black hole was found with {found} tokens")
    yield from lines(f"{options.tokens:,} x {options.width:,}", [
        Row("wall time", [cost.wall for cost in costs], "s", at_most=SECONDS),
        Row("CPU time", [cost.cpu for cost in costs], "s"),
        Row("peak memory", [cost.memory / 1e6 for cost in costs], "MB", at_most=MEGABYTES),
    ])  # fmt: skip
    yield f"load at the end {load_average()}"


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=152_000)
    parser.add_argument("--width", type=int, default=2560)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the file is written meanwhile")
    options = parser.parse_args(arguments)
    for line in measure(options):
        print(line, flush=True)


if __name__ == "__main__":
    with reported(log=None):
        main(sys.argv[1:])
