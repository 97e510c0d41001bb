"""Replay the optimizer over a whole run and compare every bit with the record.

From W[0], zeros beside it and the recorded gradients alone, the run's own update rule must give
every recorded state back: W, the moments, the compensation, as far as the run has them; of those
that are not recorded, the checksums that training took of every state. Coupled Adam's means over
the vocabulary are taken again from the gradients. Negative controls show that the comparison can
fail.
"""

import json
import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from deadtokens.arguments import add_output, add_run
from deadtokens.audit.tally import ProofTally, Tally
from deadtokens.errors import UserError
from deadtokens.run.bits import bits_of
from deadtokens.run.compiled_update import update_W
from deadtokens.run.device import describe_device
from deadtokens.run.hyperparameters import gradient_weight, hyperparameters, learning_rate
from deadtokens.run.rounding import Rounding
from deadtokens.run.spec import RunSpec, read_spec
from deadtokens.run.tensors import is_coupled, state_formats
from deadtokens.run.update import mean_square
from deadtokens.seal import complete_and_sealed
from deadtokens.trajectory.blocks import read_blocks
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import Segments
from deadtokens.trajectory.tiles import Tile, read_tiles

CONTROL_UPDATES = 64
WRONG_RATE = 1.01
State = dict[str, Tensor]
Tallies = dict[str, Tally | ProofTally]
# Of a state, the gradient, the update's number, the first row, and what all rows share.
Rule = Callable[[State, Tensor, int, int, np.ndarray | None], None]


def initial_state(tile: Tile, spec: RunSpec) -> State:
    """Return W as recorded before the first update, and zeros beside it, in the run's formats."""
    W = tile.states["W"][0] if "W" in tile.states else tile.evidence.first["W"]
    return blank_state(W.shape, spec) | {"W": W.clone()}


def blank_state(shape: tuple[int, int], spec: RunSpec) -> State:
    """Return W and what is carried beside it, in the run's formats, all zero."""
    return {
        name: torch.zeros(shape, dtype=getattr(torch, format))
        for name, format in state_formats(spec).items()
    }


def new_tallies(tile: Tile) -> Tallies:
    """Return a tally for each state tensor: of its values, or of its checksums."""
    proven = tile.evidence.checksums if tile.evidence else {}
    return {name: Tally() for name in tile.states} | {name: ProofTally() for name in proven}


def replay_tile(tile: Tile, state: State, rule: Rule, tallies: Tallies) -> None:
    """Replay a tile's updates from `state`, in place, and compare every state."""
    for index, update in enumerate(tile.updates):
        rule(state, tile.grad[index], update, tile.tokens.start, tile.mean_squares[index])
        for name, tally in tallies.items():
            if name in tile.states:
                recorded = tile.states[name][index + 1]
                replayed = state[name].to(recorded.dtype)
                tally.compare(replayed, recorded, update, tile.tokens.start)
            else:
                stated = tile.evidence.checksums[name][:, index + 1]
                replayed = state[name].to(tile.evidence.first[name].dtype)
                tally.compare(replayed, stated, tile.evidence.group, update, tile.tokens.start)


def rule_of(spec: RunSpec, rounding: Rounding) -> Rule:
    """Return the run's own update, as its device rounds."""

    def rule(
        state: State, grad: Tensor, update: int, first: int, shared: np.ndarray | None
    ) -> None:
        update_W(spec, state, grad, update, first, rounding, shared)

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
    tallies: Tallies = {}
    whole = blank_state((run.sizes["token"], run.sizes["component"]), spec)
    controls: dict[str, Any] = {}
    roundings: list[Rounding] = []
    for tile in read_tiles(segments, replay=False):
        tallies = tallies or new_tallies(tile)
        controls = controls or run_controls(tile, spec)
        state = {
            name: tensor[tile.tokens.start : tile.tokens.stop] for name, tensor in whole.items()
        }
        if tile.updates.start == 1:
            for name, tensor in initial_state(tile, spec).items():
                state[name].copy_(tensor)
        replay_tile(tile, state, rule_of(spec, tile.rounding), tallies)
        roundings.append(tile.rounding)
        del tile  # before the one after the next is read
    if is_coupled(spec):
        tallies["grad_sq_mean"] = compare_mean_squares(segments, run)
    return {
        **run_attributes(run),
        "updates": int(run.sizes["update"]),
        "replayed_on": describe_device(torch.device("cpu")),
        "update_rounding": [asdict(rounding) for rounding in dict.fromkeys(roundings)],
        "tensors": _stated(tallies, Tally),
        "checksums": _stated(tallies, ProofTally),
        "identical": all(not tally.differing for tally in tallies.values()),
        "controls": controls,
        "controls_detected": all(control["differing"] > 0 for control in controls.values()),
    }


def compare_mean_squares(segments: Segments, run: xr.Dataset) -> Tally:
    """Compare the means of squares that the updates took with those of the recorded gradients."""
    tally, recorded = Tally(), torch.from_numpy(run["grad_sq_mean"].values)
    for block in read_blocks(segments, ["grad"]):
        for place, update in enumerate(block.steps):
            grad = torch.from_numpy(block.values["grad"][:, :, place])
            tally.compare(mean_square(grad)[None], recorded[update - 1][None], int(update), 0)
        del block  # before the next one is read
    return tally


def _stated(tallies: Tallies, kind: type) -> dict[str, Any]:
    return {name: asdict(tally) for name, tally in tallies.items() if isinstance(tally, kind)}


def run_controls(tile: Tile, spec: RunSpec) -> dict[str, Any]:
    """Return what the audit says of replays that are wrong on purpose, over the first updates."""
    tile = _first_updates(tile, CONTROL_UPDATES)
    own, faster = rule_of(spec, tile.rounding), spec.model_copy(update={"lr": spec.lr * WRONG_RATE})
    controls = {
        "textbook formula in float32": _control(tile, spec, textbook(spec), in_float32=True),
        f"learning rate times {WRONG_RATE}": _control(tile, spec, rule_of(faster, tile.rounding)),
        "gradients one update late": _control(_one_update_late(tile), spec, own),
    }
    rule, place = _flipping(tile, own)
    return controls | {"one flipped bit": _control(tile, spec, rule) | {"planted": place}}


def textbook(spec: RunSpec) -> Rule:
    """Return the update as papers write it, in whatever format the state has."""
    hyper = hyperparameters(spec)

    def rule(
        state: State, grad: Tensor, update: int, first: int, shared: np.ndarray | None
    ) -> None:
        lr, g = learning_rate(spec, update), grad.to(state["W"].dtype)
        m = hyper.beta1 * state.get("exp_avg", 0) + gradient_weight(hyper) * g
        state["exp_avg"], step = m, lr * m
        if "exp_avg_sq" in state:
            squares = g * g if shared is None else torch.from_numpy(shared)
            state["exp_avg_sq"] = hyper.beta2 * state["exp_avg_sq"] + (1 - hyper.beta2) * squares
            v = state["exp_avg_sq"] / (1 - hyper.beta2**update)
            step = lr * (m / (1 - hyper.beta1**update)) / (v.sqrt() + hyper.eps)
        decayed = state["W"] - lr * hyper.weight_decay * state["W"]
        state["W"] = decayed - step

    return rule


def _control(tile: Tile, spec: RunSpec, rule: Rule, in_float32: bool = False) -> dict[str, Any]:
    state = initial_state(tile, spec)
    if in_float32:
        state = {name: tensor.float() for name, tensor in state.items()}
    tallies = {"W": new_tallies(tile)["W"]}
    replay_tile(tile, state, rule, tallies)
    return asdict(tallies["W"])


def _first_updates(tile: Tile, count: int) -> Tile:
    states = {name: tensor[: count + 1] for name, tensor in tile.states.items()}
    return replace(tile, updates=tile.updates[:count], grad=tile.grad[:count], states=states)


def _one_update_late(tile: Tile) -> Tile:
    none = torch.zeros_like(tile.grad[:1])
    return replace(tile, grad=torch.cat([none, tile.grad[:-1]]))


def _flipping(tile: Tile, own: Rule) -> tuple[Rule, dict[str, int]]:
    """Return the run's update, but that one lowest bit of W is turned over once, and where."""
    update = tile.updates[len(tile.updates) // 2 - 1]
    row, component = (length // 2 for length in tile.grad.shape[1:])

    def rule(state: State, grad: Tensor, t: int, first: int, shared: np.ndarray | None) -> None:
        bits = bits_of(state["W"])
        if t == update + 1:
            bits[row, component] ^= 1
        own(state, grad, t, first, shared)
        if t == update:
            bits[row, component] ^= 1

    return rule, {"update": update, "token": tile.tokens[row], "component": component}


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_run(parser)
    add_output(parser, "JSON file to write")


def main(options: Namespace) -> None:
    """Run the command ``audit``."""
    torch.set_num_threads(1)  # the other cores inflate what comes next
    result = audit_run(options.segments)
    with complete_and_sealed(options.output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    logging.getLogger(__name__).info(f"audit {result['run']}: {_summary(result)}")


def _summary(result: dict[str, Any]) -> str:
    parts = []
    for kind, what in (("tensors", "recorded values"), ("checksums", "checksums")):
        compared, differing = (
            sum(tally[count] for tally in result[kind].values())
            for count in ("compared", "differing")
        )
        if compared:
            parts.append(f"{differing:,} of {compared:,} {what} differ on replay")
    return ", ".join(parts) or "no update was recorded"
