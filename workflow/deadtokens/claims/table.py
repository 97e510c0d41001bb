"""What came of claims, as a table: one row a claim."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from deadtokens.claims.evaluation import Finding
from deadtokens.comparison.settings import written
from deadtokens.study.claims import Claim, Effect, Variable, listed
from deadtokens.study.members import Settings

NUMBERS = ("number", "low", "high")
COLUMNS = (
    *("claim", "question", "status", "statement", *NUMBERS, "seeds", "runs", "criterion"),
    *("source", "seen", "why", "of", "numbers"),
)


def findings_table(findings: Mapping[str, Finding]) -> pd.DataFrame:
    """Return one row a claim: its number, interval, seeds and runs, its criterion, and why.

    ``number`` is the mean over seeds, ``low`` and ``high`` the ends of its 95 % interval by
    Student's t, ``numbers`` are those of every run or pair.
    ``seen`` says whether the number was known when the claim was written.
    """
    rows = [_row(name, finding) for name, finding in findings.items()]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(NUMBERS, float))


def _row(name: str, finding: Finding) -> dict[str, object]:
    claim, sample = finding.claim, finding.sample
    low, high = sample.interval if sample.entries else (np.nan, np.nan)
    return {
        "claim": name,
        "question": claim.question,
        "status": finding.status,
        "statement": claim.statement,
        "number": sample.mean if sample.entries else np.nan,
        "low": low,
        "high": high,
        "seeds": sample.seeds,
        "runs": sample.runs,
        "criterion": claim.criterion.text,
        "source": claim.source,
        "seen": claim.seen,
        "why": finding.why,
        "of": subject_of(claim),
        "numbers": "; ".join(f"{number:.6g}" for number in sample.numbers),
    }


def subject_of(claim: Claim) -> str:
    """Return what a claim speaks of, in words."""
    subject = claim.subject
    if isinstance(subject, Effect):
        changed = " x ".join(subject.keys)
        to, from_ = (", ".join(map(written, listed(one))) for one in (subject.to, subject.from_))
        over = f" over {subject.over}" if subject.over else ""
        what = f"effect of {changed}, {to} against {from_},{over} on {subject.outcome}"
        setting = subject.context
    elif isinstance(subject, Variable):
        relative = f" / {subject.relative_to}" if subject.relative_to else ""
        within = [f"{axis} {low:,g} to {high:,g}" for axis, (low, high) in subject.within.items()]
        labels = [*subject.at.values(), *within, subject.where, subject.statistic]
        chosen = ", ".join(str(label) for label in labels if label is not None)
        what = f"{subject.file}: {subject.variable}{relative}" + f" ({chosen})" * bool(chosen)
        setting = subject.setting
    else:
        what, setting = subject.outcome, subject.setting
    divided = getattr(subject, "ratio_to", None)
    against = "" if divided is None else f", over that of {_named(divided)}"
    return f"{subject.experiment}: {what}" + f"; {_named(setting)}" * bool(setting) + against


def _named(setting: Settings) -> str:
    return ", ".join(f"{key} {written(value)}" for key, value in setting.items()) or "all runs"
