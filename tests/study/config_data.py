"""The default configuration, and changed copies of it."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
CONFIG = REPOSITORY / "config"
DEFAULT = yaml.safe_load((CONFIG / "config.yaml").read_text(encoding="utf-8"))


def changed(path: str | Sequence[Any], value: Any) -> dict:
    """Return the default configuration with another value at a dotted path or a list of keys."""
    config = copy.deepcopy(DEFAULT)
    *sections, key = path.split(".") if isinstance(path, str) else path
    inner = config
    for section in sections:
        inner = inner[section]
    inner[key] = value
    return config


def with_experiment(**experiment: Any) -> dict:
    """Return the default configuration with one experiment, `one`, in place of its own."""
    return changed("experiments", {"one": experiment})
