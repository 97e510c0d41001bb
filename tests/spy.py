"""What torch's own update is given and makes of it: beneath every loop, wrapper and hook."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from unittest.mock import patch

import numpy as np
from torch import Tensor

GIVEN = {"adam": ("W", "grad", "exp_avg", "exp_avg_sq"), "sgd": ("W", "grad")}


@dataclass
class Spy:
    """Copies, one an update: each state as it was before, and at last as it was left."""

    weight: Tensor | Callable[[], Tensor]
    seen: dict[str, list[np.ndarray]] = field(default_factory=dict)
    lr: list[float] = field(default_factory=list)

    def look(self, given: dict[str, list[Tensor]], lr: float | Tensor) -> None:
        weight = self.weight if isinstance(self.weight, Tensor) else self.weight()
        for place, one in enumerate(given["W"]):
            if one is weight:
                self.lr.append(float(lr))
                for name, tensors in given.items():
                    self.seen.setdefault(name, []).append(_copied(tensors[place]))
                self.last = {name: tensors[place] for name, tensors in given.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the gradients of all updates, or a state before them and behind the last."""
        behind = [] if name == "grad" else [_copied(self.last[name])]
        return np.array(self.seen[name] + behind)


@contextmanager
def spying(weight: Tensor | Callable[[], Tensor], kind: str = "adam") -> Iterator[Spy]:
    """Watch the function of `torch.optim` that updates lists of weights."""
    spy = Spy(weight)
    module = import_module(f"torch.optim.{kind}")
    function = getattr(module, kind)

    @wraps(function)
    def watched(*lists, **options):
        spy.look(dict(zip(GIVEN[kind], lists, strict=False)), options["lr"])
        return function(*lists, **options)

    with patch.object(module, kind, watched):
        yield spy


def _copied(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy().copy()
