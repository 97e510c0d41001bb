"""By which of torch's implementations was another training moved? Each is tried.

Single, foreach and fused updates of torch compute one formula and not the same bits. Each is taken
over the recorded gradients by torch's own optimizer, on a GPU if the record is of one and one is
here; beside them the compiled update that says where it rounds, if it knows the formula. Each
segment is replayed from its own first state, for a record may begin in the midst of a training, and
what an optimizer remembers besides is not in it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from deadtokens.audit.controls import run_controls
from deadtokens.audit.moves import Move, own_move, torch_move
from deadtokens.audit.reading import OURS
from deadtokens.audit.replay import (
    Tallies,
    findings,
    new_tallies,
    recorded_state,
    replay_tile,
    stated,
)
from deadtokens.audit.tally import Tally
from deadtokens.errors import NotInRecord
from deadtokens.run.known import IMPLEMENTATIONS, why_not_replayed
from deadtokens.run.rounding import Rounding
from deadtokens.run.rule import Rule
from deadtokens.trajectory.rule import RuleOfRecording, ensure_known, recorded_rule
from deadtokens.trajectory.segments import Segments
from deadtokens.trajectory.tiles import Tile, read_tiles


@dataclass
class Trial:
    """One implementation, tried over a whole recording.

    Attributes
    ----------
    move_of : callable
        Gives the update by a rule, for a device that rounds in a way.
    device : torch.device
        Where it is tried.
    tallies : dict
    refused : str
        Why it could not be tried, '' if it was.
    """

    move_of: Callable[[Rule, Rounding], Move]
    device: torch.device
    tallies: Tallies = field(default_factory=dict)
    refused: str = ""

    @property
    def differing(self) -> int:
        """How many values differ."""
        return sum(tally.differing for tally in self.tallies.values())

    @property
    def identical(self) -> bool:
        """Whether it gives every recorded bit."""
        return not self.refused and not self.differing

    def take(self, tile: Tile, rule: Rule) -> None:
        """Replay a tile."""
        self.tallies = self.tallies or new_tallies(tile)
        if self.refused:
            return
        tile = _on(tile, self.device)
        try:
            replay_tile(tile, recorded_state(tile), self.move_of(rule, tile.rounding), self.tallies)
        except (RuntimeError, NotImplementedError) as error:  # no such kernel here
            self.refused = f"cannot be tried here: {str(error).splitlines()[0]}"

    def as_json(self) -> dict[str, Any]:
        """Return what an audit says of it."""
        if self.refused:
            return {"refused": self.refused}
        return {"tensors": stated(self.tallies, Tally), "identical": self.identical}


def audit_recording(segments: Segments, rule: RuleOfRecording, attributes: dict) -> dict[str, Any]:
    """Return which implementations give the recorded bits, and how far off the others are.

    Parameters
    ----------
    segments : path or sequence of paths
    rule : RuleOfRecording
    attributes : dict
        Of the recording.

    Raises
    ------
    UserError
        If it is of an optimizer that torch has not, or that remembers what is not recorded.
    """
    about = recorded_rule(attributes)
    _ensure_torch_has_it(rule.name, about)
    trials, controls, roundings = _trials(rule, about, attributes), {}, []
    for tile in read_tiles(segments):
        for trial in trials.values():
            trial.take(tile, rule)
        roundings.append(tile.rounding)
        controls = controls or _controls(tile, rule, _best(trials))
        del tile  # before the one after the next is read
    best = _best(trials)
    return {
        "optimizer": about["name"],
        "implementation": about["implementation"],
        "implementations": {name: trial.as_json() for name, trial in trials.items()},
        "reproduced_by": [name for name, trial in trials.items() if trial.identical],
        **findings(best.tallies, roundings, controls, best.device),
        "identical": best.identical,  # of nothing that could be tried it is not
    }


def _ensure_torch_has_it(name: str, about: dict) -> None:
    if why := why_not_replayed(about):
        raise NotInRecord(f"run {name}: {why}, so it cannot be replayed")


def _trials(rule: RuleOfRecording, about: dict, attributes: dict) -> dict[str, Trial]:
    """Return what is tried, by name, the recorded implementation first."""
    on_cuda = str(attributes.get("device", "")).startswith("cuda") and torch.cuda.is_available()
    device = torch.device("cuda" if on_cuda else "cpu")

    def of_torch(implementation: str) -> Callable[[Rule, Rounding], Move]:
        chosen = about["optimizer"], implementation, about["options"]
        return lambda rule, rounding: torch_move(*chosen, rule)

    names = sorted(IMPLEMENTATIONS, key=lambda name: name != about["implementation"])
    trials = {name: Trial(of_torch(name), device) for name in names}
    own = Trial(own_move, torch.device("cpu"))
    try:
        ensure_known(rule.name, about, rule.numbers)
    except NotInRecord as error:
        own.refused = str(error)
    return trials | {OURS: own}


def _best(trials: dict[str, Trial]) -> Trial:
    """Return what is nearest to the record, the first of equals."""
    tried = [trial for trial in trials.values() if not trial.refused]
    return min(tried or trials.values(), key=lambda trial: trial.differing)


def _controls(tile: Tile, rule: RuleOfRecording, best: Trial) -> dict[str, Any]:
    tile = _on(tile, best.device)
    return run_controls(tile, rule, recorded_state, lambda rule: best.move_of(rule, tile.rounding))


def _on(tile: Tile, device: torch.device) -> Tile:
    """Return a tile whose tensors are on a device."""
    states = {name: tensor.to(device) for name, tensor in tile.states.items()}
    return replace(tile, grad=tile.grad.to(device), states=states)
