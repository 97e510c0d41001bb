"""What is asked for by path, or read from one: whether the configuration can give it."""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePosixPath

from deadtokens.errors import UserError
from deadtokens.identity import STEPS
from deadtokens.study.claims import Claim
from deadtokens.study.config import why_not_whole
from deadtokens.study.figures import FIGURES
from deadtokens.study.models import models_of
from deadtokens.study.needed import read_from_records
from deadtokens.study.study import Study
from deadtokens.study.validation import nearest
from deadtokens.study.wanted import why_not

RECEIPT = "released.json"
FILM = "drift"  # drawn from what the figure `path` is drawn from
LISTED = 5  # names in a sentence
OF_RULES = tuple(f"results/{kind}/" for kind in ("runs", "vocabularies", "corpora"))


def check_targets(study: Study, claims: Collection[Claim], targets: Iterable[str]) -> None:
    """Refuse files of results that no run, experiment, recording or model of a study has.

    Parameters
    ----------
    study : Study
    claims : collection of Claim
    targets : iterable of str
        Paths from where Snakemake runs, and names of rules, which are let pass.

    Raises
    ------
    UserError
        One sentence for each.
    """
    refused = [
        f"{target}: {why}"
        for target in sorted(targets)
        if (why := _why_no_target(study, claims, target))
    ]
    if refused:
        raise UserError("\n".join(refused))


def check_sources(study: Study, claims: Collection[Claim]) -> None:
    """Refuse files that a study reads from where the workflow would have to make them, and cannot.

    Raises
    ------
    UserError
        One sentence for each, as for a model in the folder of a run that is no longer configured.
    """
    refused = [
        f"{where}: {file}: {why}; move the file out of the results"
        for where, file in _sources(study)
        if file.startswith(OF_RULES) and (why := _why_no_target(study, claims, file))
    ]
    if refused:
        raise UserError("\n".join(refused))


def _sources(study: Study) -> Iterator[tuple[str, str]]:
    """Yield what a study reads by path, and where the configuration says so."""
    for corpus in study.corpora.values():
        if corpus.path:
            yield "corpora", os.path.normpath(corpus.path)
    for name, model in models_of(study).items():
        yield from ((f"models.{name}", os.path.normpath(path)) for path in model.files)


def _why_no_target(study: Study, claims: Collection[Claim], target: str) -> str:
    """Say why a study cannot give a file; nothing if it can, or if no rule would."""
    match PurePosixPath(target).parts:
        case "results", "corpora", name, _:
            return _unknown("corpus", name, study.corpora)
        case "results", "vocabularies", name, _:
            return _unknown("vocabulary", name, study.vocabularies)
        case "results", "benchmarks", name, _:
            return _unknown("run", name, study.runs)
        case "results", "runs", name, *rest:
            unknown = _unknown("run", name, study.runs)
            return unknown or _why_not_of_run(study, claims, name, rest[0] if rest else "")
        case "results", "recorded", name, _:
            return _unknown("recording", name, study.recordings)
        case "results", "models", name, _, _:
            return _unknown("model", name, models_of(study))
        case "results", "experiments", name, _:
            unknown = _unknown("experiment", name, study.experiments)
            return unknown or why_not(study, name, "outcomes")
        case "results", "figures", name, file:
            unknown = _unknown("experiment", name, study.experiments)
            return unknown or _why_not_drawn(study, name, file.partition(".")[0])
    return ""


def _why_not_of_run(study: Study, claims: Collection[Claim], run: str, within: str) -> str:
    """Say why a file or folder within that of a run cannot be had."""
    if within == RECEIPT and not study.releases:
        return "records are kept; `keep: derived` in the configuration has them released"
    if within == RECEIPT and run not in read_from_records(study, claims):
        return "nothing is read from this record, so it is kept"
    if steps := STEPS.fullmatch(within):
        return why_not_whole(int(steps["number"]), study.runs[run].record.segment)
    return ""


def _why_not_drawn(study: Study, experiment: str, name: str) -> str:
    figure = "path" if name == FILM else name
    return why_not(study, experiment, figure) if figure in FIGURES else ""


def _unknown(kind: str, name: str, known: Collection[str]) -> str:
    """Say that a name is none of those that the study has of a kind; nothing if it is one."""
    if name in known:
        return ""
    hint = nearest(name, known) or f"; known are {_listed(list(known))}"
    return f"the study has no {kind} {name!r}{hint if known else ', nor any other'}"


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + rest
