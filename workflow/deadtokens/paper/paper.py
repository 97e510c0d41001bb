"""Write the paper of a study as PDF: every number from a derived file, wording by what holds."""

import json
import logging
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deadtokens.arguments import add_output
from deadtokens.claims.evaluation import STATUSES
from deadtokens.commit import git_commit
from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.paper.costs import storage_table
from deadtokens.paper.experiments import experiment_tables, outcomes_shown
from deadtokens.paper.facts import Facts
from deadtokens.paper.illustrations import illustrations
from deadtokens.paper.methods import (
    add_census,
    add_settings,
    common_settings,
    corpora,
    recorded,
    regimes_table,
    varied_settings,
)
from deadtokens.paper.models import examined_models
from deadtokens.paper.provenance import (
    add_audits,
    diverged,
    experiments_of,
    makings,
    trained_runs,
    versions,
)
from deadtokens.paper.recordings import recorded_experiments
from deadtokens.paper.sources import paper_sources, recording_sources
from deadtokens.paper.typeset import typeset
from deadtokens.paper.words import interval, number
from deadtokens.seal import complete_and_sealed
from deadtokens.study.arguments import add_study, study_of
from deadtokens.study.claims import FEWEST_SEEDS
from deadtokens.study.figures import QUESTIONS
from deadtokens.study.study import Study

log = logging.getLogger(__name__)


def gather(study: Study, results: Path, claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that the template says, each number with its source.

    Parameters
    ----------
    study : Study
    results : Path
        Folder of the results.
    claims : mapping
        What came of the claims, as ``deadtokens claims`` writes it as JSON.
    """
    facts, files = Facts(), paper_sources(study)
    runs = trained_runs(results, files)
    add_settings(facts, study)
    _add_counts(facts, claims)
    return {
        "reasons": add_census(facts, study, results, files),
        "audited": add_audits(facts, results, files),
        "storage": storage_table(facts, results, files),
        "corpora": corpora(study),
        "recorded": recorded(study),
        "varied": varied_settings(study),
        "common": common_settings(study),
        "regimes": regimes_table(study),
        "claims": {name: _written(claim) for name, claim in claims.items()},
        "questions": {str(place): text for place, text in QUESTIONS.items()},
        "figures": illustrations(study, results),
        "outcomes": outcomes_shown(),
        "experiments": experiment_tables(study, results, files),
        "recordings": recorded_experiments(study, results, recording_sources(study)),
        "models": examined_models(facts, study, results),
        "experiments_of": experiments_of(study),
        "makings": makings(runs),
        "diverged": diverged(runs),
        "versions": versions(),
        "commit": git_commit(),
        "one_seed": len({study.runs[member.run].seed for member in study.members}) == 1,
        "numbers": facts.as_json(),
    }


def _add_counts(facts: Facts, claims: Mapping[str, Any]) -> None:
    counts = Counter(claim["status"] for claim in claims.values())
    texts = {status.replace(" ", "_"): number(counts[status]) for status in STATUSES}
    seen = sum(claim["seen"] for claim in claims.values())
    facts.add("claims.json", claims=number(len(claims)), seen=number(seen), **texts)
    facts.add("deadtokens.study.claims", fewest_seeds=number(FEWEST_SEEDS))


def _written(claim: Mapping[str, Any]) -> dict[str, str | bool]:
    """Return what came of a claim, its numbers written."""
    texts = {key: str(value) for key, value in claim.items() if isinstance(value, str)}
    numbers = {key: number(claim[key]) for key in ("number", "seeds", "runs")}
    limits = interval(claim["low"], claim["high"])
    about = {"question": str(claim["question"]), "seen": claim["seen"]}
    return texts | numbers | about | {"interval": limits}


def _read_claims(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no evaluated claims ({error}); make it again") from None


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_study(parser)
    add_output(parser, "PDF to write; its data go beside it as .json")
    parser.add_argument("--claims", type=Path, required=True, help="evaluated claims, as JSON")
    parser.add_argument(
        "--template", type=Path, required=True, metavar="DIR", help="folder with paper.typ"
    )


def main(options: Namespace) -> None:
    """Run the command ``paper``."""
    study = study_of(options)
    data = gather(study, options.results, _read_claims(options.claims))
    shown = [*data["figures"].values(), data["models"]["pictures"]]
    figures = [figure["file"] for figures in shown for figure in figures]
    with complete_or_absent(options.output.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    with complete_and_sealed(options.output) as temporary:
        typeset(options.template, data, options.results, figures, temporary)
    log.info("paper: %s, with %d figures", options.output, len(figures))
