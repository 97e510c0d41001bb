"""What the paper says of its data, model, runs and regimes: from the configuration and a census."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from deadtokens.comparison.settings import varying, written
from deadtokens.paper.facts import Facts
from deadtokens.paper.sources import first_experiment
from deadtokens.paper.words import exact, listing, number
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec, flat
from deadtokens.study.members import settings_of_member
from deadtokens.study.study import Study
from deadtokens.text.read import read_census

REFERENCE = (
    *("width", "layers", "heads", "batch", "context", "lr", "warmup", "beta1", "beta2", "eps"),
    *("weight_decay", "init_std", "steps", "vocabulary_size"),
)  # settings of the first run that the text names
LEFT_OUT = ("vocabulary", "seed", "batch_seed", "device", "threads")
CONFIGURATION = "the configuration"


def add_settings(facts: Facts, study: Study) -> None:
    """Add the settings of the first run, and how many runs, seeds and updates there are."""
    first = study.experiments[first_experiment(study)].members[0]
    settings = settings_of_member(study, first)
    facts.add(f"spec of {first.run}", **{key: exact(settings[key]) for key in REFERENCE})
    longest: dict[str, int] = {}
    for member in study.members:
        longest[member.run] = max(member.steps, longest.get(member.run, 0))
    facts.add(
        CONFIGURATION,
        runs=number(len(longest)),
        seeds=number(len({study.runs[run].seed for run in longest})),
        updates=number(sum(longest.values())),
        experiments=number(len(study.experiments)),
    )


def add_census(
    facts: Facts, study: Study, results: Path, files: Iterable[str]
) -> list[dict[str, str]]:
    """Add what the census says of the first run's vocabulary; return why its tokens are dead."""
    first = study.experiments[first_experiment(study)].members[0]
    path = f"vocabularies/{study.runs[first.run].vocabulary}/census.nc"
    if path not in files:
        return []
    census = read_census(results / path)
    dead = census["dead"].values.astype(bool)
    facts.add(
        path,
        dead=number(int(dead.sum())),
        dead_share=number(float(dead.mean())),
        stream=number(int(census["count"].sum())),
    )
    reasons, counts = np.unique(census["why_dead"].values[dead].astype(str), return_counts=True)
    order = np.argsort(-counts)
    return [{"why": str(reasons[one]), "tokens": number(int(counts[one]))} for one in order]


def corpora(study: Study) -> dict[str, str]:
    """Return the texts on which tokenizer and model of the first run are trained, by identity."""
    first = study.experiments[first_experiment(study)].members[0]
    vocabulary = study.vocabularies[study.runs[first.run].vocabulary]
    return {
        "tokenizer": listing(vocabulary.tokenizer_corpora),
        "training": vocabulary.training_corpus,
    }


def varied_settings(study: Study) -> list[dict[str, str]]:
    """Return each setting in which runs differ, its value in the first run, and the others."""
    specs = [settings_of_member(study, member) for member in study.members]
    return [
        {"key": key, "value": written(specs[0][key]), "others": _others(specs, key)}
        for key in varying(specs)
        if key not in LEFT_OUT
    ]


def common_settings(study: Study) -> list[dict[str, str]]:
    """Return the settings that all runs share and the text does not name."""
    specs = [settings_of_member(study, member) for member in study.members]
    known = {*LEFT_OUT, *REFERENCE, *varying(specs)}
    return [{"key": key, "value": written(specs[0][key])} for key in specs[0] if key not in known]


def _others(specs: Sequence[Mapping[str, Any]], key: str) -> str:
    values = (written(spec[key]) for spec in specs if spec[key] != specs[0][key])
    return ", ".join(dict.fromkeys(values))


def regimes_table(study: Study) -> list[dict[str, str]]:
    """Return the precision regimes of the study's runs, in the order of the package's table."""
    used = {spec.precision for spec in study.runs.values()}
    return [
        {"name": name, "bytes": str(regime.bytes_per_parameter)}
        | {key: str(value or "none") for key, value in asdict(regime).items()}
        for name, regime in REGIMES.items()
        if name in used
    ]


def recorded(study: Study) -> str:
    """Return which tensors the runs record."""
    specs: Sequence[RunSpec] = list(study.runs.values())
    choices = dict.fromkeys(written(flat(spec)["record.tensors"]) for spec in specs)
    return listing(choices)
