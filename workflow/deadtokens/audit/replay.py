"""Taking an optimizer over a run's gradients, and comparing every state with the record."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import torch

from deadtokens.audit.moves import Move, State
from deadtokens.audit.tally import ProofTally, Tally
from deadtokens.run.device import describe_device
from deadtokens.run.rounding import Rounding
from deadtokens.run.rule import Rule
from deadtokens.trajectory.tiles import Tile

Tallies = dict[str, Tally | ProofTally]


def initial_state(tile: Tile, rule: Rule) -> State:
    """Return W as recorded before the first update, and zeros beside it, in the run's formats."""
    W = tile.states["W"][0] if "W" in tile.states else tile.evidence.first["W"]
    return blank_state(W.shape, rule) | {"W": W.clone()}


def blank_state(shape: tuple[int, int], rule: Rule) -> State:
    """Return W and what is carried beside it, in the run's formats, all zero."""
    return {
        name: torch.zeros(shape, dtype=getattr(torch, format))
        for name, format in rule.states.items()
    }


def recorded_state(tile: Tile) -> State:
    """Return what is recorded at the first state of a tile."""
    return {name: tensor[0].clone() for name, tensor in tile.states.items()}


def new_tallies(tile: Tile) -> Tallies:
    """Return a tally for each state tensor: of its values, or of its checksums."""
    proven = tile.evidence.checksums if tile.evidence else {}
    return {name: Tally() for name in tile.states} | {name: ProofTally() for name in proven}


def replay_tile(tile: Tile, state: State, move: Move, tallies: Tallies) -> None:
    """Replay a tile's updates from `state`, in place, and compare every state."""
    for index, update in enumerate(tile.updates):
        move(state, tile.grad[index], update, tile.tokens.start, tile.mean_squares[index])
        for name, tally in tallies.items():
            if name in tile.states:
                recorded = tile.states[name][index + 1]
                replayed = state[name].to(recorded.dtype)
                tally.compare(replayed, recorded, update, tile.tokens.start)
            else:
                stated = tile.evidence.checksums[name][:, index + 1]
                replayed = state[name].to(tile.evidence.first[name].dtype)
                tally.compare(replayed, stated, tile.evidence.group, update, tile.tokens.start)


def stated(tallies: Tallies, kind: type) -> dict[str, Any]:
    """Return the tallies of a kind as a file says them."""
    return {name: asdict(tally) for name, tally in tallies.items() if isinstance(tally, kind)}


def findings(
    tallies: Tallies, roundings: Iterable[Rounding], controls: dict[str, Any], device: torch.device
) -> dict[str, Any]:
    """Return what an audit says of a replay over a whole run.

    Parameters
    ----------
    tallies : dict
    roundings : iterable of Rounding
        Of the devices that took the updates.
    controls : dict
        As `controls.run_controls` gives them.
    device : torch.device
        On which was replayed.
    """
    return {
        "replayed_on": describe_device(device),
        "update_rounding": [asdict(rounding) for rounding in dict.fromkeys(roundings)],
        "tensors": stated(tallies, Tally),
        "checksums": stated(tallies, ProofTally),
        "identical": all(not tally.differing for tally in tallies.values()),
        "controls": controls,
        "controls_detected": all(control["differing"] > 0 for control in controls.values()),
    }
