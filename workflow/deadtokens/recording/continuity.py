"""Whether a weight is still as the last step left it, told without a look at its values."""

from weakref import ref

from torch import Tensor
from torch.optim import Optimizer


class Marks:
    """Which tensors a weight's training goes on with, and how often each was written to.

    Whoever loads a checkpoint into the model or the optimizer, or changes the weight between two
    steps, replaces a tensor or writes to one in place, which torch counts. The optimizer is not
    kept alive.
    """

    def __init__(self, optimizer: Optimizer, weight: Tensor):
        self._optimizer, self.weight = ref(optimizer), weight
        self._seen = self._look()

    def hold(self) -> bool:
        """Return whether nothing was replaced or written to since."""
        seen = self._look()
        return len(seen) == len(self._seen) and all(
            one is other and version == earlier and where == before
            for (one, version, where), (other, earlier, before) in zip(
                seen, self._seen, strict=True
            )
        )

    def _look(self) -> list[tuple[Tensor, int, int]]:
        held = self._optimizer().state.get(self.weight, {}).values()
        tensors = [self.weight, *(one for one in held if isinstance(one, Tensor))]
        return [(one, one._version, one.data_ptr()) for one in tensors]
