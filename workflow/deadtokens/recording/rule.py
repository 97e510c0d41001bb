"""How an optimizer of torch moves a weight: its kind, its implementation, its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from deadtokens.recording.steps import Group
from deadtokens.run.bits import INTEGERS
from deadtokens.run.known import IMPLEMENTATIONS

# By the names of a record, those of torch.
MOMENTS = {"exp_avg": ("exp_avg", "momentum_buffer"), "exp_avg_sq": ("exp_avg_sq",)}
KNOWN = (Adam, AdamW, SGD)  # whose update is known
COUNTING = (Adam, AdamW)  # which keep nothing before their first update, and count from it on


@dataclass(frozen=True)
class Rule:
    """How a weight is moved, apart from the numbers that may change from update to update.

    Attributes
    ----------
    optimizer : {'adamw', 'adam', 'sgd', ''}
        The kind; '' for one whose update is not known.
    name : str
        The optimizer's class.
    implementation : {'single', 'foreach', 'fused', ''}
    options : dict of str to bool or float
        Those that are set: 'amsgrad', 'maximize', 'capturable', 'nesterov', 'dampening', ...
    """

    optimizer: str
    name: str
    implementation: str
    options: Mapping[str, bool | float]


def rule_of(optimizer: Optimizer, group: Group) -> Rule:
    """Return how an optimizer moves the weights of one of its groups."""
    kind = type(optimizer)
    options = {name: value for name, value in group.items() if value is True}
    if dampening := group.get("dampening"):
        options["dampening"] = float(dampening)
    return Rule(
        _kind_of(kind, group),
        f"{kind.__module__}.{kind.__qualname__}",
        _implementation_of(group) if kind in KNOWN else "",
        {name: value for name, value in options.items() if name not in IMPLEMENTATIONS},
    )


def numbers_of(group: Group) -> dict[str, float]:
    """Return the numbers of an update by the names of a record, NaN for those that there are not.

    SGD's momentum counts as the decay of the first moment. An option that is no single number, or
    decays of more or less than two moments, are of another formula than those that have the names.
    """
    betas = group.get("betas", (group.get("momentum"), None))
    pair = isinstance(betas, Sequence) and len(betas) == 2
    numbers = dict(zip(("beta1", "beta2"), betas if pair else (None, None), strict=True))
    numbers |= {name: group.get(name) for name in ("lr", "eps", "weight_decay")}
    return {name: _number(value) for name, value in numbers.items()}


def moments_of(optimizer: Optimizer, weight: Tensor) -> dict[str, Tensor]:
    """Return what an optimizer remembers of a weight's gradients, by the names of a record.

    Nothing before the first step, and of an optimizer that keeps nothing of the kind: a moment is a
    tensor of the weight's shape, float32 or bfloat16, that has the name of one.
    """
    held = optimizer.state.get(weight, {})
    found = {
        name: next((held[one] for one in names if isinstance(held.get(one), Tensor)), None)
        for name, names in MOMENTS.items()
    }
    return {
        name: one
        for name, one in found.items()
        if one is not None and one.shape == weight.shape and one.dtype in INTEGERS
    }


def updates_done(optimizer: Optimizer, weight: Tensor) -> int | None:
    """Return how many updates of a weight an optimizer has counted, None if it counts none."""
    held = optimizer.state.get(weight)
    if not held:
        return 0 if type(optimizer) in COUNTING else None
    return int(held["step"]) if "step" in held else None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # the last by a tensor of several
        return torch.nan


def _kind_of(kind: type[Optimizer], group: Group) -> str:
    if kind not in KNOWN:
        return ""
    if kind is SGD:
        return "sgd"
    return "adamw" if group.get("decoupled_weight_decay", kind is AdamW) else "adam"


def _implementation_of(group: Group) -> str:
    """Return which of torch's implementations steps the weights of a group."""
    for name in ("fused", "foreach"):
        if group.get(name):
            return name
    if group.get("foreach") is None:
        parameters = group["params"]
        if all(one.is_cuda and type(one) in (Tensor, torch.nn.Parameter) for one in parameters):
            return "foreach"  # torch's default
    return "single"
