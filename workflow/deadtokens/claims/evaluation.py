"""Claims held against their criteria."""

from collections.abc import Mapping
from dataclasses import dataclass

from deadtokens.claims.sample import NotTested, Sample, deciding
from deadtokens.claims.selection import Numbers
from deadtokens.errors import UserError
from deadtokens.study.claims import Claim, Criterion

HOLDS, FAILS, NOT_TESTED = "holds", "fails", "not tested"
STATUSES = (HOLDS, FAILS, NOT_TESTED)
ONE_SEED = "one seed"


@dataclass(frozen=True)
class Finding:
    """What came of a claim.

    Attributes
    ----------
    claim : Claim
    status : {'holds', 'fails', 'not tested'}
    sample : Sample
        The numbers, as far as there are any.
    why : str
        Why it was not tested, or what is to be said of the number.
    """

    claim: Claim
    status: str
    sample: Sample
    why: str = ""


def evaluate(claims: Mapping[str, Claim], numbers: Numbers) -> dict[str, Finding]:
    """Return what came of each claim, in their order.

    Raises
    ------
    UserError
        If a claim speaks of what the files never have, or a file is damaged.
    """
    by_file = sorted(claims, key=lambda name: _file(claims[name]))
    found = {name: _named(name, claims[name], numbers) for name in by_file}
    return {name: found[name] for name in claims}


def _file(claim: Claim) -> tuple[str, str]:
    return claim.subject.experiment, claim.source_file.file


def _named(name: str, claim: Claim, numbers: Numbers) -> Finding:
    try:
        return find(claim, numbers)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def find(claim: Claim, numbers: Numbers) -> Finding:
    """Return what came of one claim."""
    sample = Sample([], 0)
    try:
        sample = numbers.sample(claim)
        return judge(claim, sample)
    except NotTested as reason:
        return Finding(claim, NOT_TESTED, sample, str(reason))


def judge(claim: Claim, sample: Sample) -> Finding:
    """Hold numbers against a claim's criterion.

    Raises
    ------
    NotTested
        If there are too few seeds, or a run has no number.
    """
    if sample.seeds < claim.seeds:
        raise NotTested(f"{_seeds(sample.seeds)}, and it is over at least {claim.seeds}")
    missing = deciding(sample.entries)
    if missing is not None:
        why = f"seed {missing.seed}: {missing.reason}"
        if claim.criterion.undefined == FAILS and not missing.diverged:
            return Finding(claim, FAILS, sample, why)
        raise NotTested(why)
    status = HOLDS if _meets(claim.criterion, sample) else FAILS
    return Finding(claim, status, sample, ONE_SEED if sample.seeds == 1 else "")


def _seeds(number: int) -> str:
    return ONE_SEED if number == 1 else f"{number} seeds"


def _meets(criterion: Criterion, sample: Sample) -> bool:
    held = {
        "mean": [sample.mean],
        "interval": sample.interval,
        "every run": sample.numbers,
    }[criterion.by]
    return all(criterion.met_by(float(number)) for number in held)
