"""Mean hidden state and mean prediction of the batches, by a hook on the unembedding."""

from typing import Any

import torch
from torch import Tensor, nn

from deadtokens.errors import UserError
from deadtokens.recording.checks import check_logits
from deadtokens.recording.watching import Guard, Watching, first_of


class Forward:
    """Takes the means over the positions of all batches since it was last cleared.

    Parameters
    ----------
    unembedding : Module
        Takes hidden states (..., width) and gives logits (..., vocabulary).
    shape : tuple of int
        Vocabulary and width, those of the weight.
    guard : callable
    """

    def __init__(self, unembedding: nn.Module, shape: tuple[int, int], guard: Guard):
        self.shape, self._first = tuple(shape), first_of(unembedding)
        add = Watching(self._add, guard)
        self.handle = unembedding.register_forward_hook(add, with_kwargs=True)
        self.clear()

    def remove(self) -> None:
        """Stop listening."""
        self.handle.remove()

    def take(self, rows: Tensor | None) -> dict[str, Tensor]:
        """Return the means by the names of a record, of some tokens or all.

        Returns
        -------
        dict of str to Tensor
            `h_mean` (width,), `probability` (rows,), `entropy` ().

        Raises
        ------
        UserError
            If there was no batch.
        """
        if self.sums is None:
            raise UserError(
                "unembedding: made no logits in training since the last update; give the module "
                "that the training calls, in its training mode, and where the model is compiled, "
                "before its first batch"
            )
        hidden, probability, entropy = (one / self.positions for one in self.sums)
        return {
            "h_mean": hidden,
            "probability": probability if rows is None else probability[rows],
            "entropy": entropy,
        }

    def clear(self) -> None:
        """Begin anew."""
        self.positions, self.sums = 0, None

    @torch.no_grad()
    def _add(
        self, module: nn.Module, arguments: tuple, named: dict[str, Any], logits: Tensor
    ) -> None:
        if not module.training:
            return
        hidden = self._first(arguments, named)
        check_logits(hidden, logits, self.shape)
        hidden = hidden.detach().flatten(0, -2).float()
        logs = logits.detach().flatten(0, -2).float().log_softmax(-1)
        probability = logs.exp()
        sums = [hidden.sum(0), probability.sum(0), -(probability * logs).sum()]
        self.positions += len(hidden)
        self.sums = (
            sums if self.sums is None else [a + b for a, b in zip(self.sums, sums, strict=True)]
        )
