"""Random models of a few hundred parameters, in float64."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from deadtokens.backprop.autograd import autograd_gradients, errors
from deadtokens.backprop.model import backward, forward
from deadtokens.backprop.rounding import term_sizes
from deadtokens.backprop.symbols import OUTSIDE, Tensors, parameters_by_symbol
from deadtokens.run.spec import RunSpec
from deadtokens.training.model import Transformer


@dataclass
class Case:
    """A model, a batch, an output bias."""

    spec: RunSpec
    named: dict[str, Tensor]
    b: Tensor
    inputs: Tensor
    targets: Tensor

    @property
    def weights(self) -> Tensors:
        found = parameters_by_symbol(self.named, self.spec.layers)
        return found | {(OUTSIDE, "b"): self.b}

    def values(self) -> Tensors:
        return forward(self.weights, self.inputs, self.targets, self.spec)

    def gradients(self) -> Tensors:
        return self._way_back()()

    def terms(self) -> dict[tuple[int, str], Tensor]:
        go_back = self._way_back()
        return term_sizes(go_back, go_back())

    def _way_back(self) -> Callable[[], Tensors]:
        values = self.values()
        return partial(backward, self.weights, values, self.inputs, self.targets, self.spec)

    def reference(self) -> Tensors:
        return autograd_gradients(self.named, self.b, self.inputs, self.targets, self.spec)

    def errors(self) -> dict[tuple[int, str], float]:
        return errors(self.gradients(), self.reference(), self.terms())

    def loss(self) -> float:
        return self.values()[OUTSIDE, "L"].item()


def random_case(seed: int = 0, vocabulary: int = 11, bias: bool = True, **sizes) -> Case:
    """Return a model with every parameter drawn at random: gains and biases too.

    The sequences are one token shorter than the context, so that a position stays unused.
    """
    fields = {"batch": 2, "context": 5, "width": 8, "layers": 2, "heads": 2} | sizes
    spec = RunSpec.model_validate(fields)
    generator = torch.Generator().manual_seed(seed)
    named = {
        name: torch.randn(weight.shape, generator=generator, dtype=torch.float64) * 0.5
        for name, weight in Transformer(spec, vocabulary).named_parameters()
    }
    b = torch.randn(vocabulary, generator=generator, dtype=torch.float64) * bias
    shape = (spec.batch, max(1, spec.context - 1))
    tokens = np.random.default_rng(seed).integers(0, vocabulary, (2, *shape))
    return Case(spec, named, b, *torch.from_numpy(tokens))
