"""The numbers of an update on a device: operations that read them there, with the plain ones' bits.

torch's operations take the numbers of an update from Python, and a captured graph would keep those
of one update for ever. With numbers on the device torch rounds elsewhere: `capturable=True` of its
AdamW changes most weights of float32. So they are stated here one by one, as GPUs round the plain
ones (`run.rounding.ON_CUDA`), and a device is asked whether it does before they are used.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from deadtokens.run.bits import bits_of
from deadtokens.run.hyperparameters import (
    Hyperparameters,
    correction,
    learning_rate,
    step_size,
)
from deadtokens.run.noise import random_bits_
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec
from deadtokens.run.tensors import carried_formats
from deadtokens.run.update import Bits, Numbers
from deadtokens.training.batches import to_device
from deadtokens.training.optimizer import EMBEDDINGS, UpdateRule

FLOATS = 3  # of an update: what W is multiplied by, what sqrt(v) is, and the step's size
FUSED = "template <typename T> T multiply_add(T a, T x, T y) { return fmaf(a, x, y); }"
# The parameters with which a device is asked: most begin, as one tensor, where no vector does.
ASKED = {
    EMBEDDINGS[0]: (67, 64),
    "norm.bias": (7,),
    "positions.weight": (13, 5),
    "output.bias": (1,),
}
LATE = 1000  # the update of which it is asked


class NumbersOnDevice(Numbers):
    """The numbers of whichever update a tensor says, never the first.

    Every operation is one of float32 numbers and rounds as a GPU does; the result is then rounded
    to its tensor's format.

    Parameters
    ----------
    floats : float32 Tensor of shape (FLOATS,)
        As `floats_of` gives them.
    hyper : Hyperparameters
    """

    def __init__(self, floats: Tensor, hyper: Hyperparameters):
        self.t, self.hyper = 0, hyper
        self.decayed, self.inverse, self.step = floats.unbind()

    def decay_(self, W: Tensor) -> None:
        W.copy_(W.float().mul_(self.decayed))

    def denominator(self, exp_avg_sq: Tensor) -> Tensor:
        root = exp_avg_sq.sqrt()
        quotient = root.float().mul_(self.inverse).to(root.dtype)
        return quotient.float().add_(self.hyper.eps).to(root.dtype)

    def step_(self, target: Tensor, m: Tensor, denominator: Tensor | None) -> None:
        moved = m.float() if denominator is None else m.float() / denominator.float()
        target.copy_(multiply_add(self.step, moved, target.float()))


@cache
def _compiled_multiply_add() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return torch.cuda.jiterator._create_jit_fn(FUSED)


def multiply_add(a: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return a x + y of float32 on a GPU, rounded once: no operation of torch's is this."""
    return _compiled_multiply_add()(a, x, y)


def floats_of(t: int, lr: float, hyper: Hyperparameters) -> np.ndarray:
    """Return 1 - lr weight_decay, 1 / sqrt(1 - beta2 ** t) and the step's size, negative."""
    numbers = 1 - lr * hyper.weight_decay, 1 / correction(t, hyper), -step_size(t, lr, hyper)
    return np.array(numbers, np.float32)


class NumbersOfUpdates:
    """Where the numbers of an update lie on a device, and the random words of its noise.

    Parameters
    ----------
    rule : UpdateRule
    device : torch.device
    """

    def __init__(self, rule: UpdateRule, device: torch.device):
        self.rule, self.device = rule, device
        self.noises = {name: rule.noise_of(name) for name in rule.named}
        self.held = to_device(self._row(1), device).clone()
        self.numbers = NumbersOnDevice(self.held[:FLOATS].view(torch.float32), rule.hyper)
        self.groups = [(names, self._bits(names)) for names in rule.moved_together()]

    def table(self, updates: Sequence[int]) -> Tensor:
        """Return the numbers of updates, a row each, on the device."""
        return to_device(torch.stack([self._row(update) for update in updates]), self.device)

    def take(self, row: Tensor) -> None:
        """Let an update's row be what the numbers are."""
        self.held.copy_(row)

    def move_all(self) -> None:
        """Take every parameter, and what is carried beside it, through the update.

        As few tensors as can be: to launch a kernel takes longer than what it does with a small
        one, also in a graph.
        """
        for names, bits in self.groups:
            self.rule.move(names, self.numbers, bits)

    def _row(self, update: int) -> Tensor:
        floats = floats_of(update, learning_rate(self.rule.spec, update), self.rule.hyper)
        noises = [noise for noise in self.noises.values() if noise is not None]
        words = [word for noise in noises for word in noise.words(update)]
        row = np.concatenate([floats.view(np.int32), np.array(words, np.int32)])
        return torch.from_numpy(row)

    def _bits(self, names: Sequence[str]) -> Bits | None:
        """Return the noise of parameters that are moved as one, each by its own words."""
        if self.noises[names[0]] is None:
            return None
        places = list(self.noises)
        sizes = [self.rule.named[name].numel() for name in names]
        element = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
        owner = np.repeat([places.index(name) for name in names], sizes)
        element, owner = (
            to_device(torch.from_numpy(array), self.device) for array in (element, owner)
        )

        def bits(like: Tensor) -> Tensor:
            words = self.held[FLOATS:].view(-1, 2).index_select(0, owner).unbind(1)
            return random_bits_(element.clone(), words).view(like.shape)

        return bits


def has_the_plain_bits(spec: RunSpec, device: torch.device) -> bool:
    """Return whether an update with its numbers on a device has the bits of the plain one there.

    Asked with weights and moments of many orders of magnitude, in the formats of the run.
    """
    plain, other = (_rule_of_random_tensors(spec, device) for _ in range(2))
    plain.step()
    numbers = NumbersOfUpdates(other, device)
    numbers.take(numbers.table([LATE])[0])
    numbers.move_all()
    return all(
        torch.equal(bits_of(one), bits_of(another))
        for one, another in zip(_tensors(plain), _tensors(other), strict=True)
    )


def _rule_of_random_tensors(spec: RunSpec, device: torch.device) -> UpdateRule:
    """Return a rule of some parameters whose next update is number LATE."""
    generator, regime = torch.Generator().manual_seed(0), REGIMES[spec.precision]

    def random(shape: tuple[int, ...]) -> Tensor:
        exponent = torch.randint(-12, 1, shape, generator=generator)
        return (torch.randn(shape, generator=generator) * 10.0**exponent).to(device)

    def parameter(shape: tuple[int, ...]) -> nn.Parameter:
        weights = random(shape).to(getattr(torch, regime.weights))
        made = nn.Parameter(weights.to(getattr(torch, regime.parameters)))
        made.grad = random(shape).to(made.dtype)
        return made

    rule = UpdateRule({name: parameter(shape) for name, shape in ASKED.items()}, spec)
    for made in rule.named.values():
        rule.state[made] = {"step": torch.tensor(LATE - 1.0)} | {
            part: random(made.shape).abs().to(getattr(torch, format))
            for part, format in carried_formats(spec).items()
        }
    for group in rule.param_groups:
        group["lr"] = learning_rate(spec, LATE)
    return rule


def _tensors(rule: UpdateRule) -> list[Tensor]:
    parameters = list(rule.named.values())
    carried = [rule.state[one][part] for one in parameters for part in rule.carried]
    return [*(parameter.detach() for parameter in parameters), *carried]
