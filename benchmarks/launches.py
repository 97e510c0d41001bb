"""What a captured update launches on a GPU, counted on torch's device without values.

Needs no results and no GPU: ``PYTHONPATH=workflow python benchmarks/launches.py [--layers N]``.
Counted are the operations of torch that compute or copy, of which a few are more than one kernel.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from deadtokens.cli import reported
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec
from deadtokens.training import numbers
from deadtokens.training.captured import CapturedUpdate
from deadtokens.training.optimizer import UpdateRule
from deadtokens.training.trainer import Trainer

VOCABULARY = 4096
PARTS = ("forward", "backward", "update")
IDLE = ("empty", "empty_like", "new_empty", "_unsafe_view")


class Operations(TorchDispatchMode):
    """Counts the operations that do something: views and empty tensors launch nothing."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, given=(), named=None):
        library, name = function._schema.name.split("::")
        self.count += library == "aten" and not function.is_view and name not in IDLE
        return function(*given, **(named or {}))


class Counted:
    """Stands for a graph: its function is called once, and what it launches is counted."""

    def __init__(self, function: Callable[[], object], after: "Counted | None" = None):
        with Operations() as self.operations:
            self.result = function()


def launches(spec: RunSpec) -> dict[str, int]:
    """Return what each part of a run's captured update launches, by the names of PARTS."""
    device = torch.device("meta")
    stream = np.arange(100 * spec.batch * spec.context) % VOCABULARY
    trainer = Trainer(spec, stream, VOCABULARY, device)
    rule = trainer.optimizer = UpdateRule(dict(trainer.model.named_parameters()), spec)
    for parameter in rule.named.values():
        rule._begin(parameter)
    batch = trainer.batches(range(1, 2))[0]
    with patch.object(numbers, "multiply_add", one_operation):
        captured = CapturedUpdate(rule, batch, trainer.forward, trainer.descend, Counted)
        with Operations() as update:
            captured.numbers.move_all()
    behind = captured.behind.operations.count
    counts = captured.before.operations.count, behind - update.count, update.count
    return dict(zip(PARTS, counts, strict=True))


def one_operation(a: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Stand for the one kernel that is not torch's."""
    return torch.addcmul(y, a, x)


def main(arguments: Sequence[str]) -> None:
    """Print a table of the regimes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=RunSpec().layers)
    options = parser.parse_args(arguments)
    print(f"{'':20}" + "".join(f"{part:>10}" for part in PARTS))
    for regime in REGIMES:
        counts = launches(RunSpec(precision=regime, layers=options.layers))
        print(f"{regime:20}" + "".join(f"{counts[part]:>10}" for part in PARTS))


if __name__ == "__main__":
    with reported(log=None):
        main(sys.argv[1:])
