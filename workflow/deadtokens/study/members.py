"""Runs of an experiment by their settings."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from deadtokens.comparison.settings import written
from deadtokens.run.spec import flat
from deadtokens.study.study import Member, Study

Settings = dict[str, Any]


class SettingOf(NamedTuple):
    """A run of an experiment with all its settings by flat key."""

    member: Member
    settings: Mapping[str, Any]


def members_with(study: Study, experiment: str, setting: Settings) -> list[SettingOf]:
    """Return the runs of an experiment that have a setting."""
    return [
        SettingOf(member, settings)
        for member in study.experiments[experiment].members
        if has(settings := settings_of_member(study, member), setting)
    ]


@cache
def settings_of_member(study: Study, member: Member) -> Mapping[str, Any]:
    """Return a run's settings by flat key, the steps and the vocabulary's size among them."""
    size = study.tokens(member.run)
    return flat(study.runs[member.run]) | {"steps": member.steps, "vocabulary_size": size}


def has(settings: Mapping[str, Any], wanted: Settings) -> bool:
    """Return whether settings have the wanted values."""
    return all(key in settings and same(settings[key], value) for key, value in wanted.items())


def same(value: Any, wanted: Any) -> bool:
    """Return whether two values are the same setting: 0 is 0.0, and null is the text 'null'."""
    pair = [_number(one) for one in (value, wanted)]
    if not any(math.isnan(one) for one in pair):
        return pair[0] == pair[1]
    return written(value) == written(wanted)


def _number(value: Any) -> float:
    try:
        return math.nan if isinstance(value, bool | None) else float(value)
    except (TypeError, ValueError):
        return math.nan
