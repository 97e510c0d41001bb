"""Measure recorders as callbacks of HuggingFace's Trainer: python benchmarks/callbacks.py.

A small GPT-2 is trained with each in turn, the same updates from the same start; ratios are taken
round by round, of the time from the end of the WARM-th update to that of the last one. What comes
behind it, until the last file is complete, does not grow with the training, and is told apart.
Needs transformers and accelerate; wandb (which is offline) and tensorboard are left out if they are
not installed. Nothing should run beside it.
"""

import argparse
import logging
import os
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import torch
from study import Row, alternate, lines, load_average, ratios
from torch import Tensor, nn

from deadtokens.cli import reported
from deadtokens.costs.storage import StepwiseFile, processor_name
from deadtokens.errors import UserError
from deadtokens.recording.rule import moments_of

if find_spec("transformers") is None:
    sys.exit("transformers is not installed; pip install 'deadtokens[adapters]' brings it")

import transformers

from deadtokens.recording.trainer import TrainerRecorder

LIVE = 0.7  # of the vocabulary
WARM = 8  # updates that are not counted
TENSORS = ("W", "grad", "exp_avg", "exp_avg_sq")
PLAIN, STEPWISE = "no recorder", "h5py, one step at a time"
TARGETS = {"deadtokens, all rows": 1.10, "deadtokens, dead rows": 1.03}


class Batches(torch.utils.data.Dataset):
    """Sequences of random live tokens, frequent and rare ones as in a text."""

    def __init__(self, sequences: int, context: int, tokens: int):
        live = int(LIVE * tokens)
        frequency = 1 / np.arange(1, live + 1)
        generator = np.random.default_rng(0)
        ids = generator.choice(live, (sequences, context), p=frequency / frequency.sum())
        self.ids = torch.from_numpy(ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return {"input_ids": self.ids[place], "labels": self.ids[place]}


class EachUpdate(transformers.TrainerCallback):
    """Hands over W and what its update consumed and left, one update after the other."""

    def __init__(self, take: Callable[[int, Mapping[str, Tensor]], None]):
        self.take, self.grad = take, None

    def on_pre_optimizer_step(self, args, state, control, **given) -> None:
        self.grad = _weight(given["model"]).grad.clone()

    def on_optimizer_step(self, args, state, control, **given) -> None:
        weight = _weight(given["model"])
        moments = moments_of(getattr(given["optimizer"], "optimizer", given["optimizer"]), weight)
        self.take(state.global_step, {"W": weight.detach(), "grad": self.grad} | moments)


def _weight(model: nn.Module) -> nn.Parameter:
    return model.get_output_embeddings().weight


class Clock(transformers.TrainerCallback):
    """Notes when each update is done."""

    def __init__(self):
        self.times: list[float] = []

    def on_step_end(self, args, state, control, **given) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


class Trial:
    """A way to train: what is hung into the Trainer, and what ends it."""

    def __init__(self, options: argparse.Namespace):
        self.options = options

    def callback(self, model: nn.Module, folder: Path) -> transformers.TrainerCallback | None:
        """Return the callback; nothing is recorded without one."""

    def close(self) -> None:
        """End the record."""


class Ours(Trial):
    def __init__(self, options: argparse.Namespace, rows: str):
        super().__init__(options)
        self.rows = rows

    def callback(self, model: nn.Module, folder: Path) -> transformers.TrainerCallback:
        counts = np.arange(self.options.tokens) < LIVE * self.options.tokens
        self.recorder = TrainerRecorder(folder, rows=self.rows, counts=counts)
        return self.recorder

    def close(self) -> None:
        self.recorder.close()


class Stepwise(Trial):
    """A copy of each tensor into an h5py file at every update."""

    def callback(self, model: nn.Module, folder: Path) -> transformers.TrainerCallback:
        self.file = h5py.File(folder / "steps.h5", "w")
        steps, writer = self.options.updates, StepwiseFile(self.file)

        def take(update: int, tensors: Mapping[str, Tensor]) -> None:
            for name, tensor in tensors.items():
                writer.put(name, update, steps, tensor)

        return EachUpdate(take)

    def close(self) -> None:
        self.file.close()


class TensorBoard(Trial):
    """Histograms of the same tensors."""

    def callback(self, model: nn.Module, folder: Path) -> transformers.TrainerCallback:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder))

        def take(update: int, tensors: Mapping[str, Tensor]) -> None:
            for name, tensor in tensors.items():
                self.writer.add_histogram(name, tensor, update)

        return EachUpdate(take)

    def close(self) -> None:
        self.writer.close()


class Wandb(Trial):
    """wandb.watch: histograms of all parameters and gradients, for it takes a whole model."""

    def callback(self, model: nn.Module, folder: Path) -> transformers.TrainerCallback:
        import wandb

        quiet = wandb.Settings(console="off", silent=True)
        self.run = wandb.init(mode="offline", dir=str(folder), project="updates", settings=quiet)
        self.run.watch(model, log="all", log_freq=1)
        return EachUpdate(lambda update, tensors: self.run.log({"update": update}))

    def close(self) -> None:
        self.run.finish()


def trials(options: argparse.Namespace) -> dict[str, Trial]:
    """Return the ways to train whose libraries are here, by what the table calls them."""
    found = {
        PLAIN: Trial(options),
        "deadtokens, all rows": Ours(options, "all"),
        "deadtokens, dead rows": Ours(options, "dead"),
        STEPWISE: Stepwise(options),
    }
    if find_spec("tensorboard"):
        found["TensorBoard, histograms"] = TensorBoard(options)
    if find_spec("wandb"):
        found['wandb.watch(log="all", log_freq=1)'] = Wandb(options)
    return found


def train(trial: Trial, options: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """Return the seconds of the real Trainer's updates, and from the last one to the end."""
    transformers.set_seed(0)
    config = transformers.GPT2Config(
        vocab_size=options.tokens,
        n_positions=options.context,
        n_embd=options.width,
        n_layer=options.layers,
        n_head=4,
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )
    model = transformers.GPT2LMHeadModel(config)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "out"),
        max_steps=options.updates,
        per_device_train_batch_size=options.batch,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        report_to=[],
        logging_strategy="no",
        disable_tqdm=True,
        bf16=False,
    )
    data = Batches(options.batch * options.updates, options.context, options.tokens)
    trainer = transformers.Trainer(model, arguments, train_dataset=data)
    trainer.remove_callback(transformers.PrinterCallback)
    record = folder / "record"
    record.mkdir()
    callback = trial.callback(model, record)
    if callback is not None:
        trainer.add_callback(callback)
    clock = Clock()
    trainer.add_callback(clock)  # behind what records
    trainer.train()
    trial.close()
    *_, last = clock.times
    return last - clock.times[min(WARM, options.updates) - 1], time.perf_counter() - last


def measure(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    logging.getLogger("deadtokens").setLevel(logging.WARNING)
    ways, sizes, ends = trials(options), {}, defaultdict(list)

    def timed(name: str) -> float:
        with TemporaryDirectory() as folder:
            taken, end = train(ways[name], options, Path(folder))
            ends[name].append(end)
            files = Path(folder, "record").rglob("*")
            sizes[name] = sum(file.stat().st_size for file in files if file.is_file())
            return taken

    shape = f"V {options.tokens:,}, D {options.width}, batch {options.batch} x {options.context}"
    yield f"{processor_name()}, {os.cpu_count()} cores; load {load_average()}"
    yield f"torch {torch.__version__}, 1 thread; transformers {transformers.__version__}"
    yield f"GPT-2 of {options.layers} layers, {shape}"
    for name in ways:
        _once(name, ways, options)
    walls = alternate({name: lambda name=name: timed(name) for name in ways}, options.repeats)
    plain, counted = walls.pop(PLAIN), options.updates - WARM
    alone = Row("no recorder: an update", [1000 * one / counted for one in plain], "ms")
    yield from lines(f"{options.updates} updates", [alone])
    raw = len(TENSORS) * options.tokens * options.width * 4 * options.updates
    for name, wall in walls.items():
        target = TARGETS.get(name)
        yield from lines(name, [
            Row("training with it / without", ratios(wall, plain), at_most=target),
            Row("until the last file is complete", ends[name], "s"),
            Row("its files", [sizes[name] / 1e6], "MB"),
            Row("of the bytes of the four tensors, all rows", [sizes[name] / raw]),
        ])  # fmt: skip
    yield f"\nload at the end {load_average()}"


def _once(name: str, ways: Mapping[str, Trial], options: argparse.Namespace) -> None:
    """Train for a moment: what a library does first is no part of the measurement."""
    few = argparse.Namespace(**vars(options) | {"updates": 2})
    way = ways[name]
    way.options = few
    with TemporaryDirectory() as folder:
        train(way, few, Path(folder))
    way.options = options


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=200, help="length of each training")
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument("--tokens", type=int, default=4000, help="vocabulary")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=64)
    options = parser.parse_args(arguments)
    if min(vars(options).values()) < 1 or options.updates <= WARM:
        raise UserError(f"all numbers must be at least 1, and --updates more than {WARM}")
    for line in measure(options):
        print(line, flush=True)


if __name__ == "__main__":
    with warnings.catch_warnings(), reported(log=None), suppress(BrokenPipeError):
        warnings.simplefilter("ignore")
        main(sys.argv[1:])
