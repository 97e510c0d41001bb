"""A study of two runs with what its paper is made from, and templates of tests."""

import shutil
from pathlib import Path

import numpy as np
import xarray as xr
import yaml
from house import REPOSITORY

from deadtokens.comparison.measures import OUTCOMES
from deadtokens.comparison.members import Experiment, Member
from deadtokens.comparison.outcomes import compare
from deadtokens.netcdf import write
from deadtokens.study.study import Study

TEMPLATE = REPOSITORY / "workflow" / "paper"
HOSTILE = r'Does #panic("x") *freeze* $in bf16$ @nowhere <label> _too_? \ "q" ` // [ ] {'
CONFIG = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
CONFIG["experiments"] = {
    "regimes": CONFIG["experiments"]["regimes"] | {"title": HOSTILE, "figures": ["effects"]}
}
MADE = {
    "device": "cpu",
    "machine": HOSTILE,
    "python": "3.11",
    "packages": "torch 9",
    "git_commit": "unknown",
}


def scalars_of(study, member) -> xr.Dataset:
    """Return what a run's scalars say of its training."""
    about = {"run": member.run, "spec": study.runs[member.run].json_text(), "status": "complete"}
    return xr.Dataset(attrs=about | MADE | {"updates": member.steps})


def write_results(folder: Path) -> None:
    """Write the outcomes of the study's runs, of which the primary ones are 1 and 0.25."""
    study = Study(CONFIG)
    members = []
    for member, frozen in zip(study.members, (1.0, 0.25), strict=True):
        found = dict.fromkeys(OUTCOMES, (np.nan, "never")) | {"frozen": (frozen, "")}
        settings = {"precision": study.runs[member.run].precision, "seed": 0}
        members.append(Member(member.run, settings, found))
        write(scalars_of(study, member), folder / f"runs/{member.run}/steps-1500/scalars.nc")
    outcomes = compare(Experiment(tuple(members)))
    write(outcomes, folder / "experiments" / "regimes" / "outcomes.nc")


def template_with(folder, text: str):
    """Return a template that has only the look of the paper's, and a text of a test."""
    template = folder / "template"
    template.mkdir(exist_ok=True)
    shutil.copy(TEMPLATE / "style.typ", template)
    (template / "paper.typ").write_text(f'#import "style.typ": *\n{text}\n', encoding="utf-8")
    return template
