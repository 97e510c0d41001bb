"""Which optimizers of other trainings move a weight by a formula that is known here."""

from collections.abc import Mapping
from typing import Any

KNOWN = ("adamw", "adam", "sgd")
IMPLEMENTATIONS = ("single", "foreach", "fused")  # of torch, of each of them
# Options that change no more than the order of the operations.
HARMLESS = {"capturable", "differentiable", "decoupled_weight_decay"}
HIDDEN = {"amsgrad": "the largest second moments so far"}  # what is remembered and not recorded


def formula_of(about: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what tells an optimizer's formula from others: its kind, and options that matter."""
    options = about["options"].items()
    return about["optimizer"], {name: value for name, value in options if name not in HARMLESS}


def why_unknown(about: Mapping[str, Any], decays: bool) -> str:
    """Say why a motion is not one of AdamW's or of SGD's with decoupled decay; nothing if it is.

    Parameters
    ----------
    about : mapping
        What a recording says of its optimizer, see `recording.rule.Rule`.
    decays : bool
        Whether it was given a weight decay.
    """
    kind, options = formula_of(about)
    if kind not in KNOWN:
        return f"{about['name']} is no optimizer whose update is known here"
    if options:
        return f"{about['name']} with {', '.join(sorted(options))} moves W by another formula"
    if kind != "adamw" and decays:
        return f"the weight decay of {about['name']} is a part of its gradients"
    return ""


def why_not_replayed(about: Mapping[str, Any]) -> str:
    """Say why no optimizer of torch gives an update again from its gradient; nothing if one can."""
    if about["optimizer"] not in KNOWN:
        return f"{about['name']} is no optimizer of torch whose update is known here"
    for option in sorted(HIDDEN.keys() & about["options"].keys()):
        return f"{about['name']} with {option} remembers {HIDDEN[option]}, which are not recorded"
    return ""
