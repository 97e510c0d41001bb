"""Evaluate the claims of a study: which hold, which fail, which have not been tested.

A claim that fails is a result; a mistake in a claim is told in a sentence.
"""

import json
import logging
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from deadtokens.arguments import add_output
from deadtokens.claims.evaluation import STATUSES, evaluate
from deadtokens.claims.selection import Numbers
from deadtokens.claims.table import findings_table
from deadtokens.files import complete_or_absent
from deadtokens.seal import complete_and_sealed
from deadtokens.study.arguments import add_study, study_of
from deadtokens.study.claims import claims_of
from deadtokens.tables import write_csv

log = logging.getLogger(__name__)


def as_json(table: pd.DataFrame) -> dict[str, Any]:
    """Return the rows of the table by claim, what is no number as null."""
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    return {row["claim"]: row for row in rows}


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_study(parser)
    add_output(parser, "table to write, as CSV")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="the same as JSON")


def main(options: Namespace) -> None:
    """Run the command ``claims``."""
    study = study_of(options)
    findings = evaluate(claims_of(study), Numbers(study, options.results))
    table = findings_table(findings)
    with complete_and_sealed(options.json) as temporary:
        temporary.write_text(json.dumps(as_json(table), indent=1) + "\n", encoding="utf-8")
    with complete_or_absent(options.output) as temporary:
        write_csv(table, temporary)
    counts = Counter(finding.status for finding in findings.values())
    log.info("claims: %s", ", ".join(f"{counts[status]} {status}" for status in STATUSES))
