"""How the W of an opened run was moved: by its spec, or as a recording of another training says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from deadtokens.errors import NotInRecord, UserError
from deadtokens.run import layout
from deadtokens.run.hyperparameters import Hyperparameters
from deadtokens.run.known import formula_of, why_unknown
from deadtokens.run.rule import Rule, Step, rule_of
from deadtokens.run.spec import read_spec

NUMBERS = ("lr", *layout.RULE)


@dataclass(frozen=True, kw_only=True)
class RuleOfRecording(Rule):
    """How the optimizer of another training moved W.

    Attributes
    ----------
    name : str
        The recording's.
    optimizer : {'adamw', 'sgd'}
    numbers : mapping of str to float64 ndarray of shape (updates,)
        Of `NUMBERS`.
    """

    name: str
    optimizer: str
    numbers: Mapping[str, np.ndarray]

    def step(self, update: int) -> Step:
        lr, beta1, beta2, eps, decay = (float(self.numbers[name][update - 1]) for name in NUMBERS)
        hyper = Hyperparameters(beta1, beta2, eps, decay, self.optimizer)
        return Step(self.before + update, lr, hyper)

    @cached_property
    def fixed(self) -> Hyperparameters:
        for name in ("beta1", "beta2", "eps"):
            values = self.numbers[name]
            if changed := np.flatnonzero(values != values[:1]).tolist():
                raise NotInRecord(
                    f"run {self.name}: its {name} changes at update {changed[0] + 1:,}, and this "
                    "analysis takes one that stays; the others can be had"
                )
        return self.step(1).hyper


def rule_of_run(run: xr.Dataset) -> Rule:
    """Return how the W of an opened run was moved.

    Raises
    ------
    UserError
        If a recording is of an optimizer whose update is not known here.
    """
    if "recorded" not in run.attrs:
        return rule_of(read_spec(run.attrs["spec"]))
    rule = rule_of_recording(run)
    ensure_known(rule.name, recorded_rule(run.attrs), rule.numbers)
    return rule


def rule_of_recording(run: xr.Dataset) -> RuleOfRecording:
    """Return what a recording says of how W was moved, whether by a formula known here or not.

    Raises
    ------
    NotInRecord
        If it says different things of its updates, apart from their numbers.
    """
    _ensure_options_stay(run)
    about = recorded_rule(run.attrs)
    is_sgd = about["optimizer"] == "sgd"
    states = {
        name: run[name].attrs["recorded_dtype"] for name in layout.STATE_TENSORS if name in run
    }
    return RuleOfRecording(
        states=states,
        gradients=run["grad" if "grad" in run else "W"].attrs["recorded_dtype"],
        arithmetic="rounded" if about["implementation"] == "fused" else "torch",
        before=_updates_before(run, is_sgd),
        name=str(run.attrs["run"]),
        optimizer="sgd" if is_sgd else "adamw",
        numbers=_numbers(run, about["optimizer"]),
    )


def recorded_rule(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a recording says of its optimizer, as `recording.rule.rule_of` found it.

    Raises
    ------
    UserError
        If it says nothing that can be read.
    """
    try:
        about = json.loads(attributes["recorded"])
        return {name: about[name] for name in ("optimizer", "name", "implementation", "options")}
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"run {attributes.get('run', '')}: does not say by which optimizer it was moved; "
            "record it again"
        ) from None


def _ensure_options_stay(run: xr.Dataset) -> None:
    name, stages = run.attrs["run"], json.loads(run.attrs.get("optimizers", "[]"))
    for before, stage in pairwise(stages):
        was, now = (recorded_rule({"run": name} | one) for one in (before, stage))
        if formula_of(was) != formula_of(now):
            raise NotInRecord(
                f"run {name}: the optimizer's options change at update {stage['update']:,} "
                f"({stage['segment']}): {_differing(was['options'], now['options'])}; this takes "
                "ones that stay, so record what goes on otherwise in a folder of its own"
            )


def _differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say which options are not the same; those that are not set are false."""
    return ", ".join(
        f"{name} is {was.get(name, False)} before and {now.get(name, False)} from there on"
        for name in sorted(was.keys() | now.keys())
        if was.get(name, False) != now.get(name, False)
    )


def _numbers(run: xr.Dataset, optimizer: str) -> dict[str, np.ndarray]:
    """Return the numbers of all updates; those that SGD has not are 0."""
    numbers = {name: run[name].values.astype(np.float64) for name in NUMBERS}
    if optimizer == "sgd":
        numbers |= dict.fromkeys(("beta2", "eps"), np.zeros(run.sizes["update"]))
    return numbers


def ensure_known(name: str, about: Mapping[str, Any], numbers: Mapping[str, np.ndarray]) -> None:
    """Refuse what moves W by another formula than AdamW's or SGD's with decoupled decay.

    Parameters
    ----------
    name : str
        Of the recording.
    about : mapping
        As `recorded_rule` gives it.
    numbers : mapping of str to ndarray of shape (updates,)

    Raises
    ------
    UserError
    """
    if why := why_unknown(about, decays=bool(np.any(numbers["weight_decay"]))):
        raise NotInRecord(
            f"run {name}: {why}, so its motion cannot be taken apart; AdamW, Adam and SGD without "
            "such options can, and freezing and drift can be had of every optimizer"
        )


def _updates_before(run: xr.Dataset, is_sgd: bool) -> int:
    """Return how many updates W had before the record, of SGD whether it had some.

    SGD does not count; with a momentum in its first state it had one at least.
    """
    before = int(run.attrs.get("updates_before", 0))
    if is_sgd and not before and "exp_avg" in run and run.sizes["state"]:
        return int(bool((run["exp_avg"][0] != 0).any()))
    return before
