"""What a regime carries from one update to the next."""

from dataclasses import replace

import pytest

from deadtokens.run.precision import BF16, REGIMES


@pytest.mark.parametrize(
    ("regime", "expected"),
    [("pure-bf16", 6), ("bf16-weights", 10), ("bf16-moments", 8), ("mixed", 12), ("fp32", 12)],
)
def test_bytes_of_a_weight_and_its_moments(regime, expected):
    assert REGIMES[regime].bytes_per_parameter == expected


def test_what_the_model_computes_with_is_not_carried():
    assert REGIMES["mixed-bf16"].parameters == "float32"
    assert REGIMES["mixed-bf16"].bytes_per_parameter == REGIMES["pure-bf16"].bytes_per_parameter


def test_a_compensation_is_carried():
    plain = REGIMES["pure-bf16"]
    assert plain.compensation is None
    assert replace(plain, compensation=BF16).bytes_per_parameter == plain.bytes_per_parameter + 2
