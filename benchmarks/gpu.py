"""What a CUDA device makes of the recorded update: bits first, then speed. One table at the end.

Needs no results: ``PYTHONPATH=workflow python benchmarks/gpu.py [--updates N] [--out FOLDER]``.
With ``--small``, or where the machine has no CUDA device, it does the same on the CPU, tiny, and so
tries itself. What has not begun when the time is up is named as left out.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch
from arms import ARMS, advance_to, hire
from memory import CRUCIBLE_TOKENS, CRUCIBLE_WIDTH
from study import Run, describe, with_settings
from torch import Tensor, nn
from wide import Files, train_run, write_text

from deadtokens.cli import reported
from deadtokens.run import layout
from deadtokens.run.bits import bits_of
from deadtokens.run.device import choose_device, keep_freed_memory, make_deterministic
from deadtokens.run.hyperparameters import learning_rate
from deadtokens.run.noise import Noise
from deadtokens.run.precision import BYTES, REGIMES
from deadtokens.run.spec import RunSpec, w_name
from deadtokens.run.tensors import state_formats
from deadtokens.text.read import read_census, read_stream
from deadtokens.training.optimizer import UpdateRule
from deadtokens.training.trainer import BLOCKS, GRAPHS, Trainer
from deadtokens.trajectory.reader import open_run

PACKAGE = Path(__file__).resolve().parents[1] / "workflow"
SIZES = {
    "tiny": ({"batch": 3, "context": 8, "width": 16}, 300),
    "default": ({"batch": 16, "context": 64}, 4096),
    "crucible": ({"batch": 128, "context": 128, "width": CRUCIBLE_WIDTH}, CRUCIBLE_TOKENS),
}
CHECKED = ("default", "tiny")  # sizes
TIMED = ("default", "crucible")
BLOCK = BLOCKS["cuda"]
ALONE = ("scalars", "freezing", "sharpening", "drift", "stillness", "attribution")
ANALYSES = (*ALONE, "verify", "audit", "gradients", "backprop")
DIVERGING = 1e4  # weight decay: times the learning rate 10, so that weights grow ninefold
PROFILED = 10  # updates
WARMING = 5
PLAIN = f"blocks of {BLOCK}"
TIMINGS = (  # arm of `arms.ARMS`, how its updates are applied
    ("bare", PLAIN),
    ("unrecorded", "one by one"),
    ("unrecorded", PLAIN),
    ("unrecorded", "captured"),
    ("recorded", "one by one"),
    ("recorded", PLAIN),
    ("recorded", "captured"),
)
TOGETHER = (1, 4, 8)  # processes on one GPU
SHARING = ("pure-bf16", "fp32")  # regimes whose runs are trained together
COPIED = 2**28  # bytes, to measure a device's bandwidth


def in_blocks(updates: int) -> AbstractContextManager:
    """Let trainers read the losses of so many updates together, also on the CPU."""
    return patch.dict(BLOCKS, {"cpu": updates, "cuda": updates})


@contextmanager
def applied(how: str) -> Iterator[None]:
    """Let trainers apply their updates one by one, in blocks, or in captured blocks where they can.

    The first two launch every kernel.
    """
    with in_blocks(1 if how == "one by one" else BLOCK), patch.dict(GRAPHS):
        if how != "captured":
            GRAPHS.clear()
        yield


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


def checkpoints_of(paths: Sequence[Path]) -> list[Path]:
    """Return the checkpoints beside a run's segments."""
    return sorted(paths[0].parent.glob("checkpoint-*.safetensors"))


def commands_of_a_run(paths: Sequence[Path], files: Files, folder: Path) -> dict[str, list[object]]:
    """Return what is done with a recorded run, by name, as command lines."""
    checkpoints = checkpoints_of(paths)
    forward = ["--checkpoints", *checkpoints, "--stream", files.stream]
    commands = {name: [name, *paths, "--output", folder / f"{name}.nc"] for name in ALONE}
    return commands | {
        "verify": ["verify", *paths],
        "audit": ["audit", *paths, "--output", folder / "audit.json"],
        "gradients": ["gradients", *paths, *forward, "--output", folder / "gradients.nc"],
        "backprop": ["backprop", *checkpoints, "--stream", files.stream, "--output",
                     folder / "backprop.nc", "--csv", folder / "backprop.csv"],
    }  # fmt: skip


def check_bits(root: Path, files: Files, spec: RunSpec, updates: int) -> dict[str, object]:
    """Compare a run with its repetition, in two segments, and without blocks; leave it in two."""
    one, two = with_settings(spec, 2 * updates), with_settings(spec, updates)
    pieces = record(root / "two", files, two, 2)
    with TemporaryDirectory(dir=root) as folder:
        whole, again = (record(Path(folder, name), files, one, 1) for name in ("whole", "again"))
        others = {"repeated": again, "in two segments": pieces}
        for how in ("one by one", PLAIN):
            with applied(how):
                others[how] = record(Path(folder, how), files, one, 1)
        found = {f"{how}, what differs": differing(whole, paths) for how, paths in others.items()}
    found["replayed on the device, values that differ"] = replay_differs(pieces, spec)
    return found | {"captured": is_captured(spec, files)}


def is_captured(spec: RunSpec, files: Files) -> bool:
    """Return whether a run's updates are captured after its first ones."""
    trainer = _trainer(spec, files)
    advance_to(trainer, BLOCK + 1)
    return trainer.captured is not None


def replay_differs(paths: Sequence[Path], spec: RunSpec) -> int:
    """Count the values of the states that the device's own update, one by one, gives otherwise."""
    run, device = open_run(paths).load(), choose_device(spec.device)
    regime, states, different = REGIMES[spec.precision], state_formats(spec), 0

    def on_device(name: str, axis: str, place: int, format: str) -> Tensor:
        values = run[name].isel({axis: place}).values
        return torch.from_numpy(np.ascontiguousarray(values)).to(device, getattr(torch, format))

    for index in range(run.sizes["update"]):
        t, name = index + 1, w_name(spec)
        weights = on_device("W", "state", index, regime.parameters)
        rule = UpdateRule({name: nn.Parameter(weights)}, spec)
        ((parameter, held),) = [(one, rule.state[one]) for one in rule.named.values()]
        parameter.grad = on_device("grad", "update", index, regime.parameters)
        held |= {part: on_device(part, "state", index, states[part]) for part in rule.carried}
        held["step"] = torch.tensor(float(index))
        for group in rule.param_groups:
            group["lr"] = learning_rate(spec, t)
        rule.step()
        for part, found in ({"W": parameter} | {part: held[part] for part in rule.carried}).items():
            expected = on_device(part, "state", t, states[part])
            here = bits_of(found.detach().to(expected.dtype))
            different += int((here != bits_of(expected)).sum())
    return different


def check_divergence(root: Path, files: Files, spec: RunSpec, updates: int) -> dict[str, object]:
    """Compare a run that diverges within a block with itself one update at a time."""
    spec = with_settings(spec, updates, weight_decay=DIVERGING)
    with TemporaryDirectory(dir=root) as folder:
        blocks = record(Path(folder, "blocks"), files, spec, 2)
        with applied("one by one"):
            single = record(Path(folder, "single"), files, spec, 2)
        left = [[path.read_bytes() for path in checkpoints_of(one)] for one in (blocks, single)]
        runs = [open_run(paths) for paths in (blocks, single)]
        return {
            "diverged at": [int(run.attrs.get("diverged_at", 0)) for run in runs],
            "diverged, what differs": differing(blocks, single),
            "diverged, checkpoints": "the same" if left[0] == left[1] else "differ",
        }


def noise_differs(device: torch.device) -> int:
    """Count random bits of stochastic rounding that differ from the CPU's."""
    noise, like = Noise(7, "embedding.weight", 123), torch.empty(1000, 64)
    here, there = noise.bits(12, like), noise.bits(12, like.to(device)).cpu()
    return int((here != there).sum())


def speeds(spec: RunSpec, files: Files, updates: int) -> dict[str, float]:
    """Return updates a second of each way to train, what they take, and the update's floor."""
    found: dict[str, float] = {}
    for arm, how in TIMINGS:
        with applied(how):
            taken = speed(arm, spec, files, updates, files.stream.parent)
        found |= {f"{arm}, {how}: {what}": value for what, value in taken.items()}
    found["floor of the update, ms"] = round(1000 * floor(spec, files), 4)
    return found | (on_gpu(spec, files) if spec.device == "cuda" else {})


def speed(arm: str, spec: RunSpec, files: Files, updates: int, folder: Path) -> dict[str, float]:
    """Return what an arm of `arms.ARMS` takes for a run's second segment of so many updates.

    Within the first one everything happens that happens once.
    """
    spec, census = with_settings(spec, updates), read_census(files.census)
    trainer, path = _trainer(spec, files), folder / f"{arm}.nc"
    advance_to(trainer, updates)
    _wait(trainer)
    begin = time.perf_counter()
    ARMS[arm](trainer, 2 * updates, path, census)
    _wait(trainer)
    seconds = time.perf_counter() - begin
    found = {"updates/s": round(updates / seconds, 1)}
    if path.exists():
        found["MB/s to disk"] = round(path.stat().st_size / 1e6 / seconds, 1)
        path.unlink()
    if trainer.device.type == "cuda":
        found["peak MB"] = round(torch.cuda.max_memory_allocated() / 1e6)
    return found


def floor(spec: RunSpec, files: Files) -> float:
    """Return the seconds in which a device can read and write once what an update must.

    It reads weights, moments and gradient, and writes weights and moments.
    """
    regime, trainer = REGIMES[spec.precision], _trainer(spec, files)
    weights = sum(parameter.numel() for parameter in trainer.model.parameters())
    each = 2 * regime.bytes_per_parameter + BYTES[regime.parameters]
    return each * weights / bandwidth(trainer.device)


def bandwidth(device: torch.device) -> float:
    """Return the bytes that a device reads and writes in a second when it copies."""
    size = COPIED if device.type == "cuda" else COPIED // 16
    one, other = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    best = np.inf
    for _ in range(5):
        begin = time.perf_counter()
        other.copy_(one)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return 2 * size / best


def together(spec: RunSpec, files: Files, updates: int, processes: int) -> dict[str, float]:
    """Return updates a second of processes that train and record the same run at the same time."""
    stream, _ = read_stream(files.stream)
    run = Run("together", with_settings(spec, updates), stream, read_census(files.census))
    with hire(run, processes, 1) as crew:
        crew.time("recorded", WARMING)
        seconds = crew.time("recorded", updates)
    return {f"{processes} processes, recorded: updates/s": round(processes * updates / seconds, 1)}


def of_the_trainer(spec: RunSpec, tokens: int, updates: int) -> dict[str, float | str]:
    """Return updates a second of HuggingFace's Trainer, and with a callback that records."""
    if find_spec("transformers") is None:
        return {"left out": "transformers is not installed"}
    import callbacks

    names = ("width", "layers", "batch", "context")
    sizes = {name: getattr(spec, name) for name in names} | {"tokens": tokens}
    options = argparse.Namespace(**sizes, updates=updates + callbacks.WARM)
    found, ways = {}, callbacks.trials(options)
    for name in (callbacks.PLAIN, callbacks.STEPWISE):
        with TemporaryDirectory() as folder:
            seconds, _ = callbacks.train(ways[name], options, Path(folder))
        found[f"{name}: updates/s"] = round(updates / seconds, 1)
    return found


def on_gpu(spec: RunSpec, files: Files) -> dict[str, float]:
    """Return what an update launches on a GPU, how long that is busy, and how often Python waits.

    Of the waits torch tells those that it knows of.
    """
    launched, busy = launches(spec, files)
    waited = {}
    for how in ("one by one", PLAIN, "captured"):
        with applied(how):
            waited[f"waits an update, {how}"] = waits(spec, files)
    return {"launches an update": launched, "busy ms an update": round(busy, 3)} | waited


def waits(spec: RunSpec, files: Files) -> float:
    """Return how often an update waits for a GPU, over the updates of the third block."""
    trainer = _trainer(spec, files)
    advance_to(trainer, 2 * BLOCK)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            advance_to(trainer, 3 * BLOCK)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in told) / BLOCK


def launches(spec: RunSpec, files: Files) -> tuple[float, float]:
    """Return how much an update launches on a GPU, and the milliseconds that this is busy."""
    trainer = _trainer(spec, files)
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        advance_to(trainer, PROFILED)
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
    advance_to(warm, WARMING)
    _wait(warm)
    del warm
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return make()


def _wait(trainer: Trainer) -> None:
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Part:
    """A run at one of the sizes, and its text."""

    size: str
    spec: RunSpec
    files: Files
    folder: Path

    def __str__(self) -> str:
        return f"{self.size} {self.spec.precision}"


def parts(root: Path, sizes: Sequence[str], options: argparse.Namespace) -> Iterator[Part]:
    """Yield the runs of each size in each regime."""
    for size in sizes:
        fields, tokens = SIZES[size]
        files = Files.within(root / size)
        if not files.stream.exists():
            (root / size).mkdir()
            write_text(files, tokens)
        for regime in options.regimes:
            spec = RunSpec(precision=regime, device=options.device, **fields)
            yield Part(size, spec, files, root / size / regime)


def look(root: Path, options: argparse.Namespace) -> Iterator[tuple[str, dict]]:
    """Yield what was found of each run: the checks of all, then the analyses, then the speeds."""
    small = options.device == "cpu"
    end = time.monotonic() + 60 * options.minutes
    begun: dict[str, dict[str, Future]] = {}
    with ThreadPoolExecutor(max(1, os.cpu_count() // 2)) as pool, in_blocks(BLOCK):
        for part in parts(root, ["tiny"] if small else CHECKED, options):
            part.folder.mkdir()
            run = part.folder, part.files, part.spec
            yield f"{part}: bits", attempt(end, check_bits, *run, options.checked)
            yield f"{part}: divergence", attempt(end, check_divergence, *run, 2 * options.checked)
            pieces = sorted((part.folder / "two").glob("segment-*.nc"))
            commands = commands_of_a_run(pieces, part.files, part.folder) if pieces else {}
            begun[f"{part}: analyses"] = {
                name: pool.submit(run_command, commands[name])
                for name in options.analyses
                if name in commands
            }
        for key, said in begun.items():
            yield key, {name: answer.result() for name, answer in said.items()}
        for part in parts(root, ["tiny"] if small else TIMED, options):
            found = attempt(end, speeds, part.spec, part.files, options.updates)
            yield f"{part}: speed", found
            if part.size != "crucible" and part.spec.precision in SHARING:
                run = part.spec, part.files, options.updates
                for processes in options.together:
                    yield f"{part}: together", attempt(end, together, *run, processes)
    for size in ["tiny"] if small else TIMED:
        fields, tokens = SIZES[size]
        given = RunSpec(**fields), tokens, options.updates
        yield f"{size}: HuggingFace's Trainer", attempt(end, of_the_trainer, *given)


def attempt(end: float, task: Callable[..., dict], *given: object) -> dict[str, object]:
    """Return what a task finds, or why it does not: one that fails must not hide the others."""
    if time.monotonic() > end:
        return {"left out": "the time is up"}
    try:
        return task(*given)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:500]}


def main(arguments: Sequence[str]) -> None:
    """Check, measure, print, and keep the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=3 * BLOCK, help="timed, of each arm")
    parser.add_argument("--checked", type=int, default=BLOCK + 8, help="of each of two segments")
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=list(REGIMES))
    parser.add_argument("--analyses", nargs="*", choices=ANALYSES, default=ANALYSES)
    parser.add_argument("--together", type=int, nargs="*", default=TOGETHER, metavar="PROCESSES")
    parser.add_argument("--minutes", type=float, default=7.5, help="in which a part may begin")
    parser.add_argument("--small", action="store_true", help="tiny, on the CPU")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args(arguments)
    make_deterministic(1)
    keep_freed_memory()
    options.device = "cuda" if torch.cuda.is_available() and not options.small else "cpu"
    rows = {"machine": describe(RunSpec(device=options.device))}
    rows["random bits that differ from the CPU's"] = noise_differs(torch.device(options.device))
    print(json.dumps(rows, indent=1), flush=True)
    with TemporaryDirectory() as folder:
        for key, found in look(Path(folder), options):
            rows[key] = rows.get(key, {}) | found
            print(key, json.dumps(found, indent=1), flush=True)
    (options.out / "gpu.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with reported(log=None):
        main(sys.argv[1:])
