"""One forward and backward pass that keeps the two ways to W apart.

A tied W meets the loss twice: its rows are looked up for the input tokens, and all its rows score
every position. With an embedding and an unembedding of the same values, autograd gives each way a
gradient of its own; their sum, rounded once, is what the tied W receives.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from deadtokens.run.spec import RunSpec
from deadtokens.training.model import Transformer

SIDES = ("input", "output")
EMBEDDING = "embedding.weight"


@dataclass(frozen=True)
class Pass:
    """A batch's way through the model and back, in the formats of the run.

    Attributes
    ----------
    loss : float
        Mean cross-entropy, nats.
    hidden : Tensor of shape (positions, width)
        Final hidden states, in the format in which the product with W takes them.
    logits : Tensor of shape (positions, vocabulary)
        Both as they score: where `logit_spread` is constant, times the factor of their position,
        in float32. So the logits are those states' products with W in every run.
    arithmetic : torch.dtype
        Format of the products.
    targets : int64 Tensor of shape (positions,)
    input_side, output_side : Tensor of shape (vocabulary, width)
        dL/dW by way of the input rows, and by way of the scores.
    tied : bool
        Whether both are gradients of one matrix.
    """

    loss: float
    hidden: Tensor
    logits: Tensor
    arithmetic: torch.dtype
    targets: Tensor
    input_side: Tensor
    output_side: Tensor
    tied: bool

    @property
    def grad(self) -> Tensor:
        """dL/dW of the recorded matrix, (vocabulary, width), before clipping."""
        return self.input_side + self.output_side if self.tied else self.output_side


def split_model(spec: RunSpec, weights: Mapping[str, Tensor]) -> Transformer:
    """Return a model of these weights in which embedding and unembedding are two leaves."""
    untied = spec.model_copy(update={"tied": False})
    model = Transformer(untied, len(weights[EMBEDDING])).to(weights[EMBEDDING].dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name if name in weights else EMBEDDING])
    return model


def run_pass(spec: RunSpec, weights: Mapping[str, Tensor], inputs: Tensor, targets: Tensor) -> Pass:
    """Take one batch forward and back on the CPU, as the run's training does.

    Parameters
    ----------
    spec : RunSpec
    weights : mapping of str to Tensor
        By their names in the model; without ``unembedding.weight`` if the run is tied.
    inputs, targets : int64 Tensor of shape (batch, context)
    """
    model = split_model(spec, weights)
    hidden, labels = model(inputs).flatten(0, 1), targets.flatten()
    prediction = model.predict(hidden, labels)
    prediction.loss.backward()
    with torch.no_grad():
        scoring = model.products.operand(hidden.detach())
        logits = model.products.linear(hidden, model.W)
        if model.spread is not None:
            scoring, logits = (values * prediction.factor[:, None] for values in (scoring, logits))
    return Pass(
        prediction.loss.item(),
        scoring,
        logits,
        prediction.arithmetic,
        labels,
        model.embedding.weight.grad,
        model.unembedding.weight.grad,
        spec.tied,
    )
