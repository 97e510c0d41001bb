"""What one update gives to the record, beside the states around it."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """What one update consumed and produced, by the names of `layout`.

    Attributes
    ----------
    grad : Tensor of shape (vocabulary, width)
        dL/dW, after clipping.
    loss : float32 Tensor of shape (), or float where it has been read
    lr : float
    grad_norm : float32 Tensor of shape (), or float
        Of the whole gradient, before clipping.
    entropy : float32 Tensor of shape (), or float
    h_mean : float32 Tensor of shape (width,)
    probability : float32 Tensor of shape (vocabulary,)
    grad_input, grad_output : Tensor of shape (vocabulary, width), or None
        Its parts by way of the input embedding and of the logits, before clipping, if they are
        recorded.
    grad_sq_mean : float32 Tensor of shape (width,), or None
        Mean of the gradient's squares over the vocabulary, if the update takes it.
    """

    grad: Tensor
    loss: Tensor | float
    lr: float
    grad_norm: Tensor | float
    entropy: Tensor | float
    h_mean: Tensor
    probability: Tensor
    grad_input: Tensor | None = None
    grad_output: Tensor | None = None
    grad_sq_mean: Tensor | None = None

    @classmethod
    def of_gradient(cls, grad: Tensor) -> "Outcome":
        """Return an outcome of which the gradient alone is known; the rest is zero."""
        vocabulary, width = grad.shape
        return cls(grad, 0.0, 0.0, 0.0, 0.0, torch.zeros(width), torch.zeros(vocabulary))
