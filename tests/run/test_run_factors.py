"""Regimes told apart by their fields."""

import pytest

from deadtokens.errors import UserError
from deadtokens.run.factors import FACTORS, factor_values, refuse_alike

SQUARE = ("mixed-bf16", "mixed-bf16-weights", "bf16-moments", "mixed")


def test_the_factorial_of_weights_and_moments_has_four_cells():
    cells = [tuple(factor_values(regime, ("weights", "moments")).values()) for regime in SQUARE]
    assert cells == [
        ("bfloat16", "bfloat16"),
        ("bfloat16", "float32"),
        ("float32", "bfloat16"),
        ("float32", "float32"),
    ]
    refuse_alike([*SQUARE, *SQUARE], ("weights", "moments"))  # of several seeds


def test_the_meaning_of_a_regime_is_no_factor():
    assert {"weights", "moments", "parameters", "arithmetic", "update"} <= set(FACTORS)
    assert "meaning" not in FACTORS


def test_regimes_that_do_not_differ_are_named():
    with pytest.raises(UserError) as caught:
        refuse_alike([*SQUARE, "fp32"], ("weights", "moments"))
    assert str(caught.value) == (
        "the regimes mixed and fp32 both have weights float32 and moments float32; add a factor in "
        "which they differ, or leave one of them out"
    )
    refuse_alike([*SQUARE, "fp32"], ("weights", "moments", "arithmetic"))


def test_an_unknown_regime_is_a_sentence():
    with pytest.raises(UserError, match="'bf17' is no precision regime; known are pure-bf16"):
        factor_values("bf17", ("weights",))
