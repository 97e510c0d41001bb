"""An update of a run captured as CUDA graphs: launched at once, with the bits of the plain one.

An update of a small model is hundreds of small kernels, and a GPU is done with each before Python
launches the next. A graph launches them all. What changes from one update to the next, its batch
and its numbers, is read from tensors that keep their place.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from deadtokens.training.numbers import NumbersOfUpdates, has_the_plain_bits
from deadtokens.training.optimizer import UpdateRule

log = logging.getLogger(__name__)


class CudaGraph:
    """What a function launches on a GPU, to be launched again.

    Parameters
    ----------
    function : callable
        Its result is where each replay leaves its own.
    after : CudaGraph, optional
        One that is always replayed before, and shares its memory.
    """

    def __init__(self, function: Callable[[], Any], after: "CudaGraph | None" = None):
        self.graph = torch.cuda.CUDAGraph()
        pool = after.graph.pool() if after else None
        # Threads that compress wait for their copies meanwhile: another mode would end the capture.
        with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"):
            self.result = function()

    def replay(self) -> None:
        """Launch it all."""
        self.graph.replay()


class CapturedUpdate:
    """The next update of a run in two graphs: what comes before its loss, and what behind.

    Parameters
    ----------
    rule : UpdateRule
        It moves the parameters; an update has been applied, so that everything that happens once
        has happened.
    batch : Tensor
        Any of the run's batches.
    forward : callable
        Makes of a batch what `descend` takes.
    descend : callable
        Finds the gradients, and calls what it is given besides to move the parameters.
    graph : type
        `CudaGraph`, or what stands for it.
    """

    def __init__(
        self,
        rule: UpdateRule,
        batch: Tensor,
        forward: Callable[[Tensor], Any],
        descend: Callable[[Any, Callable[[], None]], Any],
        graph: type[CudaGraph],
    ):
        self.batch, self.numbers = batch.clone(), NumbersOfUpdates(rule, batch.device)
        move = self.numbers.move_all
        self.before = graph(lambda: forward(self.batch))
        self.behind = graph(lambda: descend(self.before.result, move), self.before)

    def prepare(self, updates: range) -> None:
        """Bring the numbers of the next updates to the device."""
        self.rows = iter(self.numbers.table(updates))

    def forward(self, batch: Tensor) -> Any:
        """Return what `forward` makes of a batch, until it is called again."""
        self.batch.copy_(batch)
        self.before.replay()
        return self.before.result

    def apply(self) -> Any:
        """Apply the update, and return what `descend` does, until the next one."""
        self.numbers.take(next(self.rows))
        self.behind.replay()
        return self.behind.result


def capture(rule: UpdateRule, batch: Tensor, *given: Any) -> CapturedUpdate | None:
    """Return a run's update captured, None where its bits would be others, or it cannot be.

    The parameters are those of `CapturedUpdate`.
    """
    try:
        if has_the_plain_bits(rule.spec, batch.device):
            return CapturedUpdate(rule, batch, *given)
        reason = "its numbers on the device give other bits"
    except (RuntimeError, AttributeError) as error:  # of a driver, a compiler or a torch
        reason = str(error).partition("\n")[0]
    log.info(f"updates are not captured, which is slower and no different otherwise: {reason}")
    return None
