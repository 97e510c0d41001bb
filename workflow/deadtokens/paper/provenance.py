"""Where the paper's runs were made, and with what."""

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deadtokens.audit.reading import read_audit
from deadtokens.netcdf import read_derived
from deadtokens.paper.facts import Facts
from deadtokens.paper.sources import called
from deadtokens.paper.words import number
from deadtokens.study.study import Study
from deadtokens.trajectory.segments import MADE

PACKAGES = ("deadtokens", "torch", "numpy", "xarray", "scipy", "scikit-learn", "typst")


def trained_runs(results: Path, files: Iterable[str]) -> list[dict[str, Any]]:
    """Return what the scalars of each run say of its training, the longest if there are several."""
    said = [read_derived(results / file).attrs for file in called("scalars.nc", files)]
    return list({one["run"]: one for one in sorted(said, key=lambda one: one["updates"])}.values())


def makings(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return where and by what runs were trained, and how many of them."""
    counts = Counter(tuple(str(said.get(name, "")) for name in MADE) for said in runs)
    return [
        dict(zip(MADE, making, strict=True)) | {"runs": number(count)}
        for making, count in counts.items()
    ]


def diverged(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the runs that diverged."""
    return [said["run"] for said in runs if said["status"] == "diverged"]


def experiments_of(study: Study) -> list[dict[str, str]]:
    """Return the runs, seeds and updates of each experiment that has runs."""
    rows = []
    for name, experiment in study.experiments.items():
        members = experiment.members
        if not members:
            continue
        seeds = {study.runs[member.run].seed for member in members}
        updates = sum(member.steps for member in members)
        numbers = {"runs": len(members), "seeds": len(seeds), "updates": updates}
        rows.append({"name": name} | {key: number(value) for key, value in numbers.items()})
    return rows


def add_audits(facts: Facts, results: Path, files: Iterable[str]) -> bool:
    """Add how many values the replays compared and how many differ; return if there are any."""
    audits = [read_audit(results / file) for file in called("audit.json", files)]
    tallies = [one for audit in audits for one in (audit["tensors"] | audit["checksums"]).values()]
    if not audits:
        return False
    facts.add(
        "audit.json of every run",
        audited=number(len(audits)),
        compared=number(sum(tally["compared"] for tally in tallies)),
        differing=number(sum(tally["differing"] for tally in tallies)),
    )
    return True


def versions() -> list[dict[str, str]]:
    """Return the packages with which the paper was made."""
    return [{"package": name, "version": version(name)} for name in PACKAGES]
