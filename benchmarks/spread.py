"""What a constant spread of the logits costs an update, beside a free one; needs no results."""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
from study import Row, alternate, describe, lines, load_average, ratios

from deadtokens.cli import reported
from deadtokens.run.device import choose_device, keep_freed_memory, make_deterministic
from deadtokens.run.spec import RunSpec
from deadtokens.training.trainer import Trainer

PRECISIONS = ("fp32", "pure-bf16")
SPREADS = ("free", "constant")


def trainer_of(spec: RunSpec, tokens: int) -> Trainer:
    """Return a trainer on a text of random tokens, its first updates behind it."""
    stream = np.random.default_rng(0).integers(0, tokens, 100_000).astype(np.int32)
    trainer = Trainer(spec, stream, tokens, choose_device(spec.device))
    for _ in range(3):
        trainer.advance()
    return trainer


def milliseconds(trainer: Trainer, updates: int) -> float:
    """Return the CPU time of an update."""
    begin = time.process_time()
    for _ in range(updates):
        trainer.advance()
    return 1e3 * (time.process_time() - begin) / updates


def rows(spec: RunSpec, tokens: int, updates: int, repeats: int) -> list[Row]:
    """Return the CPU time of an update of either spread, measured in turn."""
    trainers = {
        spread: trainer_of(spec.model_copy(update={"logit_spread": spread}), tokens)
        for spread in SPREADS
    }
    measures = {
        spread: lambda trainer=trainer: milliseconds(trainer, updates)
        for spread, trainer in trainers.items()
    }
    found = alternate(measures, repeats)
    return [
        *(
            Row(f"{spec.precision}: {spread} spread, an update", found[spread], "ms")
            for spread in SPREADS
        ),
        Row("  constant / free", ratios(found["constant"], found["free"])),
    ]


def main(arguments: Sequence[str]) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    make_deterministic(threads=1)
    keep_freed_memory()
    print(f"{describe(RunSpec())}; load {load_average()}")
    for precision in PRECISIONS:
        spec = RunSpec(precision=precision)
        found = rows(spec, options.tokens, options.updates, options.repeats)
        for line in lines(f"V {options.tokens:,}, D {spec.width}", found):
            print(line, flush=True)


if __name__ == "__main__":
    with reported(log=None):
        main(sys.argv[1:])
