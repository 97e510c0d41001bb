"""What a CUDA device makes of the recorded update: bits first, then speed. One table at the end.

Needs no results: ``PYTHONPATH=workflow python benchmarks/gpu.py [--updates N] [--out FOLDER]``.
Where the machine has no CUDA device it does the same on the CPU, tiny, and so tries itself.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from arms import ARMS
from memory import CRUCIBLE_TOKENS, CRUCIBLE_WIDTH
from study import describe, with_settings
from wide import Files, train_run, write_text

from deadtokens.cli import reported
from deadtokens.run import layout
from deadtokens.run.device import choose_device, keep_freed_memory, make_deterministic
from deadtokens.run.noise import Noise
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec
from deadtokens.text.read import read_census, read_stream
from deadtokens.training.trainer import Trainer
from deadtokens.trajectory.reader import open_run

PACKAGE = Path(__file__).resolve().parents[1] / "workflow"
SIZES = {
    "default": ({"batch": 16, "context": 64}, 4096),
    "crucible": ({"batch": 128, "context": 128, "width": CRUCIBLE_WIDTH}, CRUCIBLE_TOKENS),
}
TINY = {"tiny": ({"batch": 3, "context": 8, "width": 16}, 300)}
PROFILED = 10  # updates
WARMING = 5


def record(folder: Path, text: Files, spec: RunSpec, segments: int) -> list[Path]:
    """Train and record a run on a text as the command does, and return its segments."""
    folder.mkdir()
    files = replace(Files.within(folder, segments), stream=text.stream, census=text.census)
    train_run(files, spec)
    return files.segments


def differing(paths: Sequence[Path], others: Sequence[Path]) -> dict[str, int] | str:
    """Count, by variable, the values of two records of the same updates that differ in a bit."""
    runs, found = [open_run(some) for some in (paths, others)], {}
    for name in (name for name in layout.VARIABLES if name in runs[0]):
        one, other = (run[name].values.view(np.uint32) for run in runs)
        if different := int((one != other).sum()):
            found[name] = different
    return found or "none"


def run_command(words: Sequence[object]) -> str:
    """Run a command of the package, and return the last line that it says."""
    command = [sys.executable, "-P", PACKAGE, *words]
    answer = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    said = (answer.stderr.strip().splitlines() or ["nothing said"])[-1][:400]
    return f"{'' if answer.returncode == 0 else 'FAILED: '}{said}"


def commands_of_a_run(paths: Sequence[Path], files: Files, folder: Path) -> dict[str, list[object]]:
    """Return what is done with a recorded run, by name, as command lines."""
    checkpoints = sorted(paths[0].parent.glob("checkpoint-*.safetensors"))
    forward = ["--checkpoints", *checkpoints, "--stream", files.stream]
    alone = ["scalars", "freezing", "sharpening", "drift", "stillness", "attribution"]
    commands = {name: [name, *paths, "--output", folder / f"{name}.nc"] for name in alone}
    return commands | {
        "verify": ["verify", *paths],
        "audit": ["audit", *paths, "--output", folder / "audit.json"],
        "gradients": ["gradients", *paths, *forward, "--output", folder / "gradients.nc"],
        "backprop": ["backprop", *checkpoints, "--stream", files.stream, "--output",
                     folder / "backprop.nc", "--csv", folder / "backprop.csv"],
    }  # fmt: skip


def check_bits(
    root: Path, files: Files, spec: RunSpec, updates: int, pool: ThreadPoolExecutor
) -> dict[str, object]:
    """Compare a run with its repetition and with itself in two segments; analyse it."""
    root.mkdir()
    one, two = with_settings(spec, 2 * updates), with_settings(spec, updates)
    whole = record(root / "whole", files, one, 1)
    pieces = record(root / "two", files, two, 2)
    commands = commands_of_a_run(pieces, files, root)
    said = {name: pool.submit(run_command, words) for name, words in commands.items()}
    return {
        "repeated, what differs": differing(whole, record(root / "again", files, one, 1)),
        "in two segments, what differs": differing(whole, pieces),
    } | {name: answer.result() for name, answer in said.items()}


def noise_differs(device: torch.device) -> int:
    """Count random bits of stochastic rounding that differ from the CPU's."""
    noise, like = Noise(7, "embedding.weight", 123), torch.empty(1000, 64)
    here, there = noise.bits(12, like), noise.bits(12, like.to(device)).cpu()
    return int((here != there).sum())


def speed(arm: str, spec: RunSpec, files: Files, updates: int, folder: Path) -> tuple[float, float]:
    """Return updates a second of an arm of `arms.ARMS`, and the device's peak memory in MB."""
    spec, census = with_settings(spec, updates), read_census(files.census)
    trainer = _trainer(spec, files)
    begin = time.perf_counter()
    ARMS[arm](trainer, updates, folder / f"{arm}.nc", census)
    _wait(trainer)
    seconds = time.perf_counter() - begin
    cuda = trainer.device.type == "cuda"
    return updates / seconds, torch.cuda.max_memory_allocated() / 1e6 if cuda else 0.0


def launches(spec: RunSpec, files: Files) -> tuple[float, float]:
    """Return how much an update launches on the device, and the milliseconds that this is busy."""
    trainer = _trainer(spec, files)
    if trainer.device.type != "cuda":
        return 0.0, 0.0
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        for _ in range(PROFILED):
            trainer.advance()
        _wait(trainer)
    on_device = [e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    busy = sum(event.device_time_total for event in on_device) / 1000
    return len(on_device) / PROFILED, busy / PROFILED


def _trainer(spec: RunSpec, files: Files) -> Trainer:
    """Return a trainer at state 0, when everything that happens once in a process has happened."""
    stream, about = read_stream(files.stream)
    device = choose_device(spec.device)
    make = lambda: Trainer(spec, stream, about["vocabulary_size"], device)  # noqa: E731
    warm = make()
    for _ in range(WARMING):
        warm.advance()
    _wait(warm)
    del warm
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return make()


def _wait(trainer: Trainer) -> None:
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()


def look(root: Path, options: argparse.Namespace) -> Iterator[tuple[str, dict]]:
    """Yield what was found at each size and in each regime."""
    cuda = torch.cuda.is_available()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for size in options.sizes if cuda else TINY:
            fields, tokens = (SIZES | TINY)[size]
            files = Files.within(root / size)
            (root / size).mkdir()
            write_text(files, tokens)
            for regime in REGIMES:
                spec = RunSpec(precision=regime, device="cuda" if cuda else "cpu", **fields)
                found: dict[str, object] = {}
                try:
                    if size != "crucible":
                        folder = root / size / regime
                        found |= check_bits(folder, files, spec, options.checked, pool)
                    for arm in ("bare", "unrecorded", "recorded"):
                        rate, peak = speed(arm, spec, files, options.updates, root / size)
                        found[f"{arm}, updates/s"] = round(rate, 1)
                        found[f"{arm}, peak MB"] = round(peak)
                    number, busy = launches(spec, files)
                    found |= {"launches an update": number, "busy ms an update": round(busy, 3)}
                except Exception as error:  # one regime that fails must not hide the others
                    found["failed"] = f"{type(error).__name__}: {error}"[:500]
                yield f"{size} {regime}", found


def main(arguments: Sequence[str]) -> None:
    """Check, measure, print, and keep the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=500, help="timed, of each arm")
    parser.add_argument("--checked", type=int, default=40, help="of each of two segments")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args(arguments)
    make_deterministic(1)
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = {"machine": describe(RunSpec(device=device))}
    rows["random bits that differ from the CPU's"] = noise_differs(torch.device(device))
    print(json.dumps(rows, indent=1), flush=True)
    with TemporaryDirectory() as folder:
        for key, found in look(Path(folder), options):
            rows[key] = found
            print(key, json.dumps(found, indent=1), flush=True)
    (options.out / "gpu.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with reported(log=None):
        main(sys.argv[1:])
