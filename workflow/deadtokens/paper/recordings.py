"""What the paper says of recordings of other trainings: what moved them, and how they replay."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from deadtokens.audit.reading import in_words, read_audit
from deadtokens.paper.words import listing, number
from deadtokens.study.recordings import Recording
from deadtokens.study.study import Study


def recorded_experiments(study: Study, results: Path, files: Collection[str]) -> list[dict]:
    """Return each experiment that has recordings, with what is said of each.

    Parameters
    ----------
    study : Study
    results : Path
        Folder of the results.
    files : collection of str
        Derived files of recordings that there are.
    """
    return [
        {
            "name": name,
            "title": experiment.title,
            "alone": not experiment.members,
            "recordings": list(_recordings(study, experiment.recordings, results, files)),
        }
        for name, experiment in study.experiments.items()
        if experiment.recordings
    ]


def _recordings(
    study: Study, names: Collection[str], results: Path, files: Collection[str]
) -> Iterator[dict[str, str]]:
    for name in names:
        recording, audit = study.recordings[name], f"recorded/{name}/audit.json"
        replayed = replay_in_words(read_audit(results / audit)) if audit in files else ""
        yield {"name": name, **_in_words(recording), "replayed": replayed}


def _in_words(recording: Recording) -> dict[str, str]:
    """Return what a recording holds."""
    contents = recording.contents
    how = contents.rule.get("implementation", "")
    return {
        "title": recording.title,
        "optimizer": str(contents.rule.get("name", "")),
        "implementation": f"{how} implementation" if how else "",
        "updates": number(contents.updates),
        "rows": number(contents.rows),
        "vocabulary_size": number(contents.vocabulary_size),
        "width": number(contents.width),
        "unreplayed": recording.why_not("audit.json"),
    }


def replay_in_words(audit: Mapping[str, Any]) -> str:
    """Return which implementation gives the bits of a recording, or how near the best one comes.

    Parameters
    ----------
    audit : mapping
        Of a recording, as `deadtokens audit` writes it.
    """
    if "tensors" not in audit:
        return str(audit.get("left_out", "nothing was replayed"))
    compared, differing = (
        sum(tally[count] for tally in audit["tensors"].values())
        for count in ("compared", "differing")
    )
    if by := audit.get("reproduced_by"):
        return (
            f"all {number(compared)} recorded values are given back, bit for bit, by "
            f"{listing([in_words(name) for name in by])}"
        )
    return (
        "none of the implementations tried gives all bits back; of the nearest one "
        f"{number(differing)} of {number(compared)} values differ"
    )
