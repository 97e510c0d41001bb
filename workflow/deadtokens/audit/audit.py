"""Replay the optimizer over a whole run and compare every bit with the record.

From W[0], zeros beside it and the recorded gradients alone, the run's own update rule must give
every recorded state back: W, the moments, the compensation, as far as the run has them; of those
that are not recorded, the checksums that training took of every state. Coupled Adam's means over
the vocabulary are taken again from the gradients. Negative controls show that the comparison can
fail. Of a recording of another training it says which implementation gives its bits.
"""

import json
import logging
from argparse import ArgumentParser, Namespace
from functools import partial
from typing import Any

import torch
import xarray as xr

from deadtokens.arguments import add_output, add_run
from deadtokens.audit.controls import run_controls
from deadtokens.audit.moves import own_move
from deadtokens.audit.reading import in_words
from deadtokens.audit.recordings import audit_recording
from deadtokens.audit.replay import (
    Tallies,
    blank_state,
    findings,
    initial_state,
    new_tallies,
    replay_tile,
)
from deadtokens.audit.tally import Tally
from deadtokens.errors import NotInRecord
from deadtokens.run.rounding import Rounding
from deadtokens.run.rule import Rule
from deadtokens.run.update import mean_square
from deadtokens.seal import complete_and_sealed
from deadtokens.trajectory.blocks import read_blocks
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.refusal import NOTHING, or_why_not
from deadtokens.trajectory.rule import rule_of_recording, rule_of_run
from deadtokens.trajectory.segments import Segments, check_every_update
from deadtokens.trajectory.tiles import Tile, read_tiles


def audit_run(segments: Segments) -> dict[str, Any]:
    """Return how a run's replay compares with its record, and what the controls found.

    Of a recording of another training: which implementations of its optimizer give its bits.

    Parameters
    ----------
    segments : path or sequence of paths
        The folder of a recording, or its segments in order.

    Returns
    -------
    dict
        As JSON: ``identical``, whether every bit is the recorded one; ``tensors``, of each how many
        values were compared, how many differ, and the first that does; ``controls``, the same of
        replays that are wrong on purpose. Of a recording also ``implementations``, the same of each
        that was tried, and ``reproduced_by``, the names of those that give every bit.

    Raises
    ------
    UserError
        If the gradients were not recorded, or the optimizer of a recording cannot be replayed.

    Examples
    --------
    >>> audit = audit_run("recorded/mine")
    >>> audit["identical"], audit["reproduced_by"]
    """
    run = open_run(segments)
    check_every_update(run, "the audit")
    if "grad" not in run:
        raise NotInRecord(
            f"run {run.attrs['run']}: without recorded gradients nothing can be replayed"
        )
    about = run_attributes(run)
    if "recorded" in run.attrs:
        return about | audit_recording(segments, rule_of_recording(run), run.attrs)
    return about | audit_own(segments, run, rule_of_run(run))


def audit_own(segments: Segments, run: xr.Dataset, rule: Rule) -> dict[str, Any]:
    """Return how the replay of a run of ours compares with its record."""
    tallies: Tallies = {}
    whole = blank_state((run.sizes["token"], run.sizes["component"]), rule)
    controls: dict[str, Any] = {}
    roundings: list[Rounding] = []
    for tile in read_tiles(segments, replay=False):
        tallies = tallies or new_tallies(tile)
        controls = controls or _controls(tile, rule)
        state = {
            name: tensor[tile.tokens.start : tile.tokens.stop] for name, tensor in whole.items()
        }
        if tile.updates.start == 1:
            for name, tensor in initial_state(tile, rule).items():
                state[name].copy_(tensor)
        replay_tile(tile, state, own_move(rule, tile.rounding), tallies)
        roundings.append(tile.rounding)
        del tile  # before the one after the next is read
    if rule.coupled:
        tallies["grad_sq_mean"] = compare_mean_squares(segments, run)
    return findings(tallies, roundings, controls, torch.device("cpu"))


def _controls(tile: Tile, rule: Rule) -> dict[str, Any]:
    begin = partial(initial_state, rule=rule)
    return run_controls(tile, rule, begin, lambda rule: own_move(rule, tile.rounding))


def compare_mean_squares(segments: Segments, run: xr.Dataset) -> Tally:
    """Compare the means of squares that the updates took with those of the recorded gradients."""
    tally, recorded = Tally(), torch.from_numpy(run["grad_sq_mean"].values)
    for block in read_blocks(segments, ["grad"]):
        for place, update in enumerate(block.steps):
            grad = torch.from_numpy(block.values["grad"][:, :, place])
            tally.compare(mean_square(grad)[None], recorded[update - 1][None], int(update), 0)
        del block  # before the next one is read
    return tally


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_run(parser)
    add_output(parser, "JSON file to write")


def main(options: Namespace) -> None:
    """Run the command ``audit``."""
    torch.set_num_threads(1)  # the other cores inflate what comes next
    result = or_why_not(audit_run, options.segments, dict)
    with complete_and_sealed(options.output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if NOTHING not in result:
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
    if "reproduced_by" in result:
        parts.append(
            f"reproduced by {' and by '.join(map(in_words, result['reproduced_by'])) or 'none'}"
        )
    return ", ".join(parts) or "no update was recorded"
