"""Precision regimes told apart by their fields, as in a factorial of weights and moments."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from deadtokens.errors import UserError
from deadtokens.run.precision import REGIMES, Regime

FACTORS = tuple(field.name for field in fields(Regime) if field.name != "meaning")


def factor_values(precision: str, factors: Sequence[str]) -> dict[str, str]:
    """Return the values of some fields of a regime, in the order of `factors`.

    Raises
    ------
    UserError
        If there is no such regime.
    """
    if precision not in REGIMES:
        raise UserError(f"{precision!r} is no precision regime; known are {', '.join(REGIMES)}")
    return {factor: getattr(REGIMES[precision], factor) for factor in factors}


def factored(spec: Mapping[str, Any], factors: Sequence[str]) -> dict[str, Any]:
    """Return settings by flat key, with fields of the precision regime in place of its name."""
    if not factors:
        return dict(spec)
    others = {key: value for key, value in spec.items() if key != "precision"}
    return factor_values(spec["precision"], factors) | others


def refuse_alike(precisions: Iterable[str], factors: Sequence[str]) -> None:
    """Refuse factors in which two of the regimes do not differ.

    Raises
    ------
    UserError
        It names the first two such regimes.
    """
    known: dict[tuple[tuple[str, str], ...], str] = {}
    for precision in dict.fromkeys(precisions):
        values = tuple(factor_values(precision, factors).items())
        if values in known:
            alike = " and ".join(map(" ".join, values))
            raise UserError(
                f"the regimes {known[values]} and {precision} both have {alike}; add a factor in "
                "which they differ, or leave one of them out"
            )
        known[values] = precision
