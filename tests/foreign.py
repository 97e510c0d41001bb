"""A training that is not ours: a small model, its loop, and what each step consumed."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

TOKENS, WIDTH, LIVE = 40, 6, 30


class Model(nn.Module):
    """Predicts the next token from one; embedding and unembedding are one matrix."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.unembedding = nn.Linear(WIDTH, TOKENS, bias=False)
        self.unembedding.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.unembedding(torch.tanh(self.inner(self.embedding(ids))))


def batch(update: int) -> tuple[Tensor, Tensor]:
    """Return inputs and labels of an update, by its number alone."""
    generator = torch.Generator().manual_seed(update)
    ids = torch.randint(0, LIVE, (4, 9), generator=generator)
    return ids[:, :-1], ids[:, 1:]


def loss_of(model: Model, update: int) -> Tensor:
    inputs, labels = batch(update)
    return nn.functional.cross_entropy(model(inputs).flatten(0, 1), labels.flatten())


@dataclass
class Seen:
    """Copies of W, of the gradient and of the moments, taken by the loop itself."""

    W: list[np.ndarray] = field(default_factory=list)
    grad: list[np.ndarray] = field(default_factory=list)


def train(model: Model, optimizer: torch.optim.Optimizer, updates: range) -> Seen:
    """Train, with two batches an update and clipping; return what was before each step."""
    weight, seen = model.embedding.weight, Seen()
    for update in updates:
        optimizer.zero_grad()
        for part in (0, 1):
            (loss_of(model, 2 * update + part) / 2).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        seen.W.append(weight.detach().float().numpy().copy())
        seen.grad.append(weight.grad.float().numpy().copy())
        optimizer.step()
    seen.W.append(weight.detach().float().numpy().copy())
    return seen
