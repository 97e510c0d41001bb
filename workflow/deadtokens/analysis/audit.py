"""Replay the optimizer over a whole run and compare every bit with the record.

From W[0], zero moments and the recorded gradients alone, the run's own update rule must give every
recorded W, exp_avg and exp_avg_sq back. Negative controls show that the comparison can fail.
"""

import argparse
import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deadtokens.analysis.origin import run_attributes
from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.training.device import describe_device
from deadtokens.training.optimizer import hyperparameters, learning_rate, update_W
from deadtokens.training.precision import REGIMES
from deadtokens.training.spec import RunSpec, read_spec
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import Segments
from deadtokens.trajectory.staging import BITS
from deadtokens.trajectory.updates import Tile, read_tiles

CONTROL_UPDATES = 64
WRONG_RATE = 1.01
State = dict[str, Tensor]
Rule = Callable[[State, Tensor, int, int], None]


@dataclass(frozen=True)
class Difference:
    """The first value that differs, by update, then token, then component."""

    update: int
    token: int
    component: int
    recorded: float
    replayed: float


@dataclass
class Tally:
    """How many values of a tensor were compared, and how many bit patterns differ."""

    compared: int = 0
    differing: int = 0
    first: Difference | None = None

    def compare(self, replayed: Tensor, recorded: Tensor, update: int, first_token: int) -> None:
        """Compare the tensors, (tokens, components), after an update."""
        self.compared += recorded.numel()
        bits = BITS[recorded.dtype]
        if torch.equal(replayed.view(bits), recorded.view(bits)):
            return
        differs = replayed.view(bits) != recorded.view(bits)
        self.differing += int(differs.sum())
        row, component = (int(index) for index in differs.nonzero()[0])
        if self.first is None:  # updates come in order
            values = (float(recorded[row, component]), float(replayed[row, component]))
            self.first = Difference(update, first_token + row, component, *values)

    def __add__(self, other: "Tally") -> "Tally":
        """Return the tally of both; the first difference is that of the earlier update."""
        found = [tally.first for tally in (self, other) if tally.first is not None]
        first = min(found, key=lambda difference: difference.update, default=None)
        return Tally(self.compared + other.compared, self.differing + other.differing, first)


def initial_state(tile: Tile, spec: RunSpec) -> State:
    """Return W as recorded before the first update, and zero moments in the regime's format."""
    W = tile.states["W"][0].clone()
    zeros = torch.zeros_like(W, dtype=getattr(torch, REGIMES[spec.precision].moments))
    return {"W": W, "exp_avg": zeros, "exp_avg_sq": zeros.clone()}


def replay_tile(tile: Tile, state: State, rule: Rule, names: Iterable[str]) -> dict[str, Tally]:
    """Replay a tile's updates from `state`, in place, and compare the named recorded states."""
    tallies = {name: Tally() for name in names}
    for index, update in enumerate(tile.updates):
        rule(state, tile.grad[index], update, tile.tokens.start)
        for name, tally in tallies.items():
            recorded = tile.states[name][index + 1]
            tally.compare(state[name].to(recorded.dtype), recorded, update, tile.tokens.start)
    return tallies


def rule_of(spec: RunSpec) -> Rule:
    """Return the run's own update."""

    def rule(state: State, grad: Tensor, update: int, first: int) -> None:
        update_W(spec, state, grad, update, first)

    return rule


def audit_run(segments: Segments) -> dict[str, Any]:
    """Return how a run's replay compares with its record, and what the controls found.

    Raises
    ------
    UserError
        If the gradients were not recorded.
    """
    run = open_run(segments)
    spec = read_spec(run.attrs["spec"])
    if "grad" not in run:
        raise UserError(
            f"run {run.attrs['run']}: without recorded gradients nothing can be replayed"
        )
    tallies: dict[str, Tally] = {}
    states: dict[int, State] = {}
    controls: dict[str, Any] = {}

    def replay(part: Tile) -> dict[str, Tally]:
        first = part.tokens.start
        if first not in states:
            states[first] = initial_state(part, spec)
        return replay_tile(part, states[first], rule_of(spec), part.states)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for tile in read_tiles(segments):
            controls = controls or run_controls(tile, spec)
            for found in pool.map(replay, tile.split(os.cpu_count())):
                tallies = {name: tallies.get(name, Tally()) + found[name] for name in found}
    return {
        **run_attributes(run),
        "updates": int(run.sizes["update"]),
        "replayed_on": describe_device(torch.device("cpu")),
        "tensors": {name: asdict(tally) for name, tally in tallies.items()},
        "identical": all(not tally.differing for tally in tallies.values()),
        "controls": controls,
        "controls_detected": all(control["differing"] > 0 for control in controls.values()),
    }


def run_controls(tile: Tile, spec: RunSpec) -> dict[str, Any]:
    """Return what the audit says of replays that are wrong on purpose, over the first updates."""
    tile = _first_updates(tile, CONTROL_UPDATES)
    faster = spec.model_copy(update={"lr": spec.lr * WRONG_RATE})
    controls = {
        "textbook formula in float32": _control(tile, spec, textbook(spec), in_float32=True),
        f"learning rate times {WRONG_RATE}": _control(tile, spec, rule_of(faster)),
        "gradients one update late": _control(_one_update_late(tile), spec, rule_of(spec)),
    }
    flipped, place = _flipped(tile)
    one_bit = _control(flipped, spec, rule_of(spec))
    return controls | {"one flipped bit": one_bit | {"planted": place}}


def textbook(spec: RunSpec) -> Rule:
    """Return the update as papers write it, in whatever format the state has."""
    hyper = hyperparameters(spec)

    def rule(state: State, grad: Tensor, update: int, first: int) -> None:
        lr, g = learning_rate(spec, update), grad.to(state["W"].dtype)
        state["exp_avg"] = hyper.beta1 * state["exp_avg"] + (1 - hyper.beta1) * g
        state["exp_avg_sq"] = hyper.beta2 * state["exp_avg_sq"] + (1 - hyper.beta2) * g * g
        m = state["exp_avg"] / (1 - hyper.beta1**update)
        v = state["exp_avg_sq"] / (1 - hyper.beta2**update)
        decayed = state["W"] - lr * hyper.weight_decay * state["W"]
        state["W"] = decayed - lr * m / (v.sqrt() + hyper.eps)

    return rule


def _control(tile: Tile, spec: RunSpec, rule: Rule, in_float32: bool = False) -> dict[str, Any]:
    state = initial_state(tile, spec)
    if in_float32:
        state = {name: tensor.float() for name, tensor in state.items()}
    return asdict(replay_tile(tile, state, rule, ["W"])["W"])


def _first_updates(tile: Tile, count: int) -> Tile:
    states = {name: tensor[: count + 1] for name, tensor in tile.states.items()}
    return replace(tile, updates=tile.updates[:count], grad=tile.grad[:count], states=states)


def _one_update_late(tile: Tile) -> Tile:
    none = torch.zeros_like(tile.grad[:1])
    return replace(tile, grad=torch.cat([none, tile.grad[:-1]]))


def _flipped(tile: Tile) -> tuple[Tile, dict[str, int]]:
    """Return the tile with the lowest bit of one recorded W turned over, and where."""
    W = tile.states["W"].clone()
    index, row, component = (length // 2 for length in W.shape)
    W.view(BITS[W.dtype])[index, row, component] ^= 1
    place = {
        "update": tile.updates[index - 1],
        "token": tile.tokens[row],
        "component": component,
    }
    return replace(tile, states=tile.states | {"W": W}), place


def main(arguments: Sequence[str]) -> None:
    """Run the command ``audit``."""
    parser = argparse.ArgumentParser(prog="deadtokens audit", description=__doc__)
    parser.add_argument("segments", type=Path, nargs="+", help="segments of the run, in order")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the threads are ours, each with rows of its own
    result = audit_run(options.segments)
    with complete_or_absent(options.output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    compared = sum(tally["compared"] for tally in result["tensors"].values())
    differing = sum(tally["differing"] for tally in result["tensors"].values())
    logging.getLogger(__name__).info(
        f"audit {result['run']}: {differing:,} of {compared:,} recorded values differ on replay"
    )


if __name__ == "__main__":
    from deadtokens.cli import run

    run(main)
