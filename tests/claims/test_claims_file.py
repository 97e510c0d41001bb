"""The claims of the study: each can hold and each can fail, and there are enough of them."""

import math
from itertools import pairwise

import numpy as np
import pytest
from claims_data import planted_sample

from deadtokens.claims.evaluation import FAILS, HOLDS, judge
from deadtokens.comparison.measures import OUTCOMES
from deadtokens.study.claims import OWN, Claim, Effect, Value, Variable, read_claims
from deadtokens.study.figures import QUESTIONS

CLAIMS = read_claims(OWN)

# What a number can be at all: least and most, both reachable.
FRACTION, COSINE, NOT_NEGATIVE, ANY = (0, 1), (-1, 1), (0, math.inf), (-math.inf, math.inf)
FRACTIONS = (
    *("frozen", "still", "first_component", "cause_below_half_an_ulp", "cause_no_gradient"),
    *("cause_second_moment", "resultant_length", "share", "efficiency", "positive_share"),
    *("hidden_sign_share", "frequency_r2", "hindcast_end_explained", "forecast_settled_moved"),
)
COSINES = (
    *("candidate_cosine", "cosine", "end_drift_cosine", "end_start_cosine"),
    "end_early_hidden_cosine",
)
POSSIBLE = {
    **dict.fromkeys(FRACTIONS, FRACTION),
    **dict.fromkeys(COSINES, COSINE),
    **dict.fromkeys(
        (
            *("thaws", "half_frozen", "net_displacement", "loss", "onset", "last_in_phase"),
            *("gradient_median", "gradient_norm", "intended_in_walls_median", "entropy"),
            *("separation", "radius", "differing", "stored_bytes", "row_displacement"),
            *("dead_gradient", "mean_embedding_ratio_all"),
        ),
        NOT_NEGATIVE,
    ),
    **dict.fromkeys(("share_momentum", "share_decay", "share_rounding"), ANY),
}
NARROW = 1e-4  # of the interval that planted seeds make, relative to the number


def possible(claim: Claim) -> tuple[float, float]:
    """Return the least and the most that a claim's number can be."""
    subject = claim.subject
    name = subject.variable if isinstance(subject, Variable) else subject.outcome
    low, high = POSSIBLE[name]
    if isinstance(subject, Effect):
        return low - high, high - low
    if subject.ratio_to is not None or getattr(subject, "statistic", None) == "last over first":
        return 0, math.inf
    return low, high


def planted_numbers(claim: Claim) -> tuple[float | None, float | None]:
    """Return a possible number with which a claim holds and one with which it fails, if any."""
    low, high = possible(claim)
    criterion = claim.criterion
    limits = [*(criterion.between or ()), criterion.above, criterion.below]
    edges = [edge for edge in (*limits, low, high) if edge is not None and math.isfinite(edge)]
    reach = 1 + max(map(abs, edges))
    points = sorted({*edges, -reach, reach})
    between = [(one + other) / 2 for one, other in pairwise(points)]
    candidates = [one for one in (*points, *between) if low <= one <= high]
    far = [one for one in candidates if one not in limits]
    met = [one for one in far if criterion.met_by(one)]
    missed = [one for one in far if not criterion.met_by(one)]
    return (met or [None])[0], (missed or [None])[0]


def planted_seeds(number: float, seeds: int) -> list[float]:
    """Return numbers with this mean, nearly alike."""
    spread = NARROW * (abs(number) or 1e-9) * np.linspace(-1, 1, seeds) if seeds > 1 else [0]
    return [number + one for one in spread]


@pytest.mark.parametrize("name", CLAIMS)
def test_planted_data_make_a_claim_hold_and_others_make_it_fail(name):
    claim = CLAIMS[name]
    for number, status in zip(planted_numbers(claim), (HOLDS, FAILS), strict=True):
        assert number is not None, f"no possible number makes it {status}"
        found = judge(claim, planted_sample(claim, planted_seeds(number, claim.seeds)))
        assert found.status == status, number
        assert found.sample.mean == pytest.approx(number)


@pytest.mark.parametrize(
    "criterion", [{"above": -1}, {"below": 2}, {"between": [0, 1]}, {"above": 1}, {"below": -1}]
)
def test_a_claim_that_no_data_can_decide_is_noticed(criterion):
    """Negative control of the test above: fractions always are so, or never."""
    claim = Claim(
        statement="It is so.",
        question=1,
        source="ours",
        value=Value(experiment="regimes", outcome="frozen"),
        criterion=criterion | {"by": "mean"},
    )
    assert None in planted_numbers(claim)


def test_every_question_has_claims_and_there_are_forty_or_more():
    assert {claim.question for claim in CLAIMS.values()} == set(QUESTIONS)
    assert len(CLAIMS) >= 40
    statements = [claim.statement for claim in CLAIMS.values()]
    assert len(set(statements)) == len(statements)


def test_claims_speak_of_outcomes_that_there_are():
    spoken_of = {
        claim.subject.outcome
        for claim in CLAIMS.values()
        if not isinstance(claim.subject, Variable)
    }
    assert spoken_of <= set(OUTCOMES)


def test_a_claim_over_one_seed_is_about_runs_and_no_effect():
    for name, claim in CLAIMS.items():
        if claim.seeds == 1:
            assert not isinstance(claim.subject, Effect), name
            assert claim.criterion.by != "interval", name
        else:
            assert claim.seeds >= 5, name
