"""Which tokens a training meets, and what they spell."""

import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from deadtokens.errors import UserError
from deadtokens.labels import label
from deadtokens.recording.watching import Guard, Watching, first_of
from deadtokens.run.bits import format_of
from deadtokens.text.readable import readable

# Of ids; of some of these torch can do little but make int64 of them.
WHOLE = tuple(getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))
# Name: axis, long name, and the unit of what is a number.
CENSUS = {
    "token_string": (("token",), "token, readable: what cannot be printed is escaped"),
    "count": (("token",), "occurrences in the training text, as they were given", "1"),
    "dead": (("token",), "whether the token never occurs in the training text", "1"),
}


def census_of(
    rows: np.ndarray, counts: np.ndarray | None, strings: Sequence[str] | None
) -> xr.Dataset:
    """Return what is known beforehand of the recorded tokens.

    Parameters
    ----------
    rows : ndarray of int
    counts : ndarray of int or bool, shape (vocabulary,), or None
    strings : sequence of str, length (vocabulary,), or None
    """
    columns = {"token": rows}
    if counts is not None:
        columns["dead"] = counts[rows] == 0
    if counts is not None and counts.dtype != bool:
        columns["count"] = counts[rows]
    if strings is not None:
        columns["token_string"] = np.array([strings[row] for row in rows], dtype=str)
    known = {name: about for name, about in CENSUS.items() if name in columns}
    return label(columns, known, {"token": ("row of the vocabulary", "1")})


def embeddings_of(weight: Tensor) -> list[nn.Embedding]:
    """Return the embeddings in this process that hold a weight, wherever their model is."""
    return [
        one
        for one in gc.get_objects()
        if issubclass(type(one), nn.Embedding) and one._parameters.get("weight") is weight
    ]


class Counts:
    """How often each token stood in the training's batches, counted on their device.

    Parameters
    ----------
    tokens : int
        Size of the vocabulary.
    known : ndarray of int or bool, shape (tokens,), or None
        How often each occurs in the training text, or whether it does, as it was given.
    """

    def __init__(self, tokens: int, known: np.ndarray | None = None):
        self.tokens = tokens
        self._unused = None if known is None else known == 0  # None: no word of them any more
        # Before the vocabulary a place for what is ignored, behind it one for what has no row.
        self._counted = torch.zeros(tokens + 2, dtype=torch.int64)
        self._silent = False  # an embedding is watched that has read nothing

    def add(self, ids: Tensor) -> None:
        """Count ids; negative ones, which a loss ignores, are none."""
        if ids.dtype not in WHOLE:
            raise UserError(
                f"tokens are counted by their ids, which are whole numbers, and these are "
                f"{format_of(ids.dtype)}: `embedding` must be the module that reads ids, and "
                "`count` takes ids"
            )
        # No branch and no shape that depends on a value: where a model is compiled, so is this.
        places = ids.detach().flatten().long().clamp(-1, self.tokens) + 1
        if self._counted.device != places.device:
            self._counted = self._counted.to(places.device)
        self._counted.scatter_add_(0, places, torch.ones_like(places))

    def check(self) -> None:
        """Refuse what the training's first update shows to be wrong.

        Raises
        ------
        UserError
            If a watched embedding has read nothing, or a token was met that has no row.
        """
        if self._silent:
            raise UserError(
                "embedding: has read no tokens; give the module that the training calls, in its "
                "training mode, and where the model is compiled, before its first batch"
            )
        if self._counted[-1]:
            raise UserError(
                f"tokens were met that the weight has no row for, which has {self.tokens:,}; it is "
                "not that of this vocabulary"
            )

    def gather(self) -> None:
        """Move the counts of all processes to the first one; each of them has to call this."""
        torch.distributed.reduce(self._counted, dst=0)
        if torch.distributed.get_rank() > 0:
            self._counted.zero_()

    def take(self) -> np.ndarray:
        """Return what was counted since the last time."""
        taken, self._counted = self._counted.cpu().numpy(), torch.zeros_like(self._counted)
        return taken[1:-1]

    def contradicts(self, taken: np.ndarray) -> str:
        """Return what is to be said, once, of tokens that were met and are not to occur, or ''."""
        if self._unused is None:
            return ""
        met = np.flatnonzero(self._unused & (taken > 0))
        if not len(met):
            return ""
        self._unused = None
        return (
            "counts: calls tokens dead that the training has met, so many of them by now: "
            f"{len(met):,}, the first is token {met[0]}; they do not count as dead"
        )

    def watch(
        self, embedding: nn.Module, guard: Guard, expected: bool = True
    ) -> torch.utils.hooks.RemovableHandle:
        """Count what an input embedding reads while it is in training.

        Parameters
        ----------
        embedding : Module
        guard : callable
        expected : bool
            Whether it is a fault if it reads nothing.
        """

        first = first_of(embedding)

        def count(module: nn.Module, arguments: tuple, named: dict[str, Any]) -> None:
            if module.training:
                self._silent = False
                self.add(first(arguments, named))

        self._silent |= expected
        return embedding.register_forward_pre_hook(Watching(count, guard), with_kwargs=True)


def strings_of(tokenizer: Any, tokens: int) -> list[str]:
    """Return the tokens of a vocabulary as printable text, each on one line.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer, a tokenizer of transformers, or sequence of str
    tokens : int
        Size of the vocabulary; rows that the tokenizer has no token for are empty.

    Raises
    ------
    UserError
        If it is none of these.
    """
    if hasattr(tokenizer, "id_to_token"):
        found = [tokenizer.id_to_token(number) for number in range(tokens)]
    elif hasattr(tokenizer, "convert_ids_to_tokens"):
        known = min(tokens, len(tokenizer))
        found = tokenizer.convert_ids_to_tokens(list(range(known)))
    elif isinstance(tokenizer, Sequence) and not isinstance(tokenizer, str):
        found = list(tokenizer[:tokens])
    else:
        raise UserError(
            f"tokenizer: a {type(tokenizer).__name__} gives no tokens; give a Tokenizer of "
            "tokenizers, a tokenizer of transformers, or a list of strings"
        )
    found += [None] * (tokens - len(found))
    return [readable(str(one or "").encode("utf-8", "surrogatepass")) for one in found]
