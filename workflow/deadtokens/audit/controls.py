"""Replays that are wrong on purpose: they show that the comparison can fail."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deadtokens.audit.moves import Move, State, textbook
from deadtokens.audit.replay import new_tallies, replay_tile
from deadtokens.run.bits import bits_of
from deadtokens.run.hyperparameters import Hyperparameters
from deadtokens.run.rule import Rule, Step
from deadtokens.trajectory.tiles import Tile

CONTROL_UPDATES = 64
WRONG_RATE = 1.01


@dataclass(frozen=True, kw_only=True)
class Faster(Rule):
    """A rule with other learning rates.

    Attributes
    ----------
    of : Rule
    factor : float
        By which its learning rates are multiplied.
    """

    of: Rule
    factor: float = WRONG_RATE

    def step(self, update: int) -> Step:
        step = self.of.step(update)
        return step._replace(lr=step.lr * self.factor)

    @property
    def fixed(self) -> Hyperparameters:
        return self.of.fixed


def faster(rule: Rule) -> Faster:
    """Return a rule whose learning rates are WRONG_RATE times another's."""
    return Faster(**{field.name: getattr(rule, field.name) for field in fields(Rule)}, of=rule)


def run_controls(
    tile: Tile, rule: Rule, begin: Callable[[Tile], State], move_of: Callable[[Rule], Move]
) -> dict[str, Any]:
    """Return what the comparison says of wrong replays of W, over CONTROL_UPDATES updates at most.

    They are the first of the run, of the rows of its first tile.

    Parameters
    ----------
    tile : Tile
        The run's first.
    rule : Rule
    begin : callable
        Gives the state before a tile.
    move_of : callable
        Gives the update by a rule that is otherwise right.
    """
    tile = _first_updates(tile, CONTROL_UPDATES)

    def control(tile: Tile, move: Move, in_float32: bool = False) -> dict[str, Any]:
        state = begin(tile)
        if in_float32:
            state = {name: tensor.float() for name, tensor in state.items()}
        tallies = {"W": new_tallies(tile)["W"]}
        replay_tile(tile, state, move, tallies)
        return asdict(tallies["W"])

    flipping, place = _flipping(tile, move_of(rule))
    return {
        "textbook formula in float32": control(tile, textbook(rule), in_float32=True),
        f"learning rate times {WRONG_RATE}": control(tile, move_of(faster(rule))),
        "gradients one update late": control(_one_update_late(tile), move_of(rule)),
        "one flipped bit": control(tile, flipping) | {"planted": place},
    }


def _first_updates(tile: Tile, count: int) -> Tile:
    states = {name: tensor[: count + 1] for name, tensor in tile.states.items()}
    return replace(tile, updates=tile.updates[:count], grad=tile.grad[:count], states=states)


def _one_update_late(tile: Tile) -> Tile:
    none = torch.zeros_like(tile.grad[:1])
    return replace(tile, grad=torch.cat([none, tile.grad[:-1]]))


def _flipping(tile: Tile, own: Move) -> tuple[Move, dict[str, int]]:
    """Return the run's update, but that one lowest bit of W is turned over once, and where."""
    update = tile.updates[len(tile.updates) // 2 - 1]
    row, component = (length // 2 for length in tile.grad.shape[1:])

    def move(state: State, grad: Tensor, t: int, first: int, shared: np.ndarray | None) -> None:
        bits = bits_of(state["W"])
        if t == update + 1:
            bits[row, component] ^= 1
        own(state, grad, t, first, shared)
        if t == update:
            bits[row, component] ^= 1

    return move, {"update": update, "token": tile.tokens[row], "component": component}
