"""What the training's first update shows a recorder to be wrong, and in which words."""

import torch
from torch import Tensor

from deadtokens.errors import UserError
from deadtokens.run.bits import format_of


def check_gradient(grad: Tensor, weight: Tensor, shape: torch.Size, dtype: torch.dtype) -> None:
    """Refuse a gradient that is no matrix like the weight, or a weight that is another one."""
    if grad.is_sparse:
        raise UserError(
            "the gradients of the weight are sparse, and a record is of whole matrices; make the "
            "embedding with sparse=False"
        )
    if grad.shape != shape or weight.shape != shape:
        raise UserError(
            f"the weight was {tuple(shape)} and is {tuple(weight.shape)}; a vocabulary that grows "
            "takes a record of its own for each size"
        )
    if weight.dtype != dtype:
        raise UserError(
            f"the weight was {format_of(dtype)} and is {format_of(weight.dtype)}; a record is of "
            "one format"
        )


def check_logits(hidden: Tensor, logits: Tensor, shape: tuple[int, int]) -> None:
    """Refuse what takes vectors of another width than the weight's, or makes no logits for it."""
    tokens, width = shape
    taken, made = (one.shape[-1] if isinstance(one, Tensor) else 0 for one in (hidden, logits))
    if (made, taken) != (tokens, width):
        raise UserError(
            f"unembedding: makes vectors of {made:,} numbers from vectors of {taken:,}, and is to "
            f"make the logits of the weight's {tokens:,} tokens from hidden states of its width, "
            f"{width:,}; give the module that does"
        )
