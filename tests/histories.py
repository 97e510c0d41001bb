"""Tiny runs update by update, as bits: of the ways to train them all must give the same."""

import torch
from tiny import tiny_trainer

from deadtokens.run.bits import bits_of
from deadtokens.run.precision import REGIMES

PATHWAYS = {"pathways": True}
KINDS = {name: {"precision": name} for name in REGIMES} | {
    "coupled-adam": {"optimizer": "coupled-adam", "tied": False},
    "sgd, clipped": {"optimizer": "sgd", "lr": 0.1, "clip": 0.05, "warmup": 5},
    "pathways": {"record": PATHWAYS},
    "constant spread": {"logit_spread": "constant"},
}


def patterns(value) -> object:
    """Return the bits of a number or tensor as a list, None of None.

    NaN has one pattern, as on a GPU: a CPU's vectors leave another than the last elements have.
    """
    if value is None:
        return None
    value = torch.as_tensor(value, dtype=None if torch.is_tensor(value) else torch.float32).detach()
    return bits_of(value.masked_fill(value.isnan(), torch.nan)).tolist()


def history(block: int, last: int = 20, **fields) -> tuple[list, list, tuple]:
    """Train in blocks of so many updates; return what each one gave, and the trainer at the end."""
    trainer, steps = tiny_trainer(**fields), []
    trainer.block = block
    while trainer.diverged_at is None and trainer.update < last:
        for outcome in trainer.advance_block(last):
            told = vars(outcome) | trainer.state()
            steps.append({name: patterns(value) for name, value in told.items()})
        del steps[trainer.update :]
    states = trainer.optimizer.state
    everything = [
        {
            name: patterns(value)
            for name, value in ({"": one} | states.get(one, {})).items()
            if name != "step"  # which captured updates do not count: the trainer does
        }
        for one in trainer.model.parameters()
    ]
    return steps, everything, (trainer.update, trainer.diverged_at, trainer.dtypes)
