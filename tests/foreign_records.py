"""Recordings of the training that is not ours, of several kinds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from foreign import LIVE, TOKENS, Model, train

from deadtokens.recording.recorder import Recorder

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&$\\frac{ก"
OPTIMIZERS = {
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=1e-2),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
    "rmsprop": lambda weights: torch.optim.RMSprop(weights, lr=1e-2),
    "amsgrad": lambda weights: torch.optim.AdamW(weights, lr=1e-2, amsgrad=True),
}


def make_record(
    folder: Path,
    updates: int = 6,
    optimizer: str = "adamw",
    unembedding: bool = True,
    segment: int = 4,
    dtype: torch.dtype = torch.float32,
    **options,
) -> Callable[[int], None]:
    """Record a training whose tokens have hostile names; return what goes on with it."""
    model = Model().to(dtype)
    made = OPTIMIZERS[optimizer](model.parameters())
    counts = np.where(np.arange(TOKENS) < LIVE, 5, 0)
    strings = [f"{HOSTILE}{token}" for token in range(TOKENS)]
    done = 0

    def go_on(more: int) -> None:
        nonlocal done
        weight = model.embedding.weight
        given = {"counts": counts, "tokenizer": strings, "embedding": model.embedding} | options
        if unembedding:
            given["unembedding"] = model.unembedding
        how = {"segment": segment, "on_failure": "raise"}
        with Recorder(folder, weight, made, **given, **how):
            train(model, made, range(done, done + more))
        done += more

    go_on(updates)
    return go_on
