"""What to do about a file that is missing or damaged: the workflow makes anew its own alone.

A recording of another training is made once, and a file that is none of ours is not ours to remove.
"""

from pathlib import Path

from deadtokens.identity import CHECKPOINT, SEGMENT

_RUN = "*_" + 8 * "[0-9a-f]"
# What the rules seal. A recorder may write to a folder of any name: its segments end in a digit.
MADE_ANEW = (
    "results/corpora/*/text.txt",
    "results/vocabularies/*/tokenizer.json",
    "results/vocabularies/*/stream.nc",
    "results/vocabularies/*/census.nc",
    f"results/runs/{_RUN}/trajectory/segment-*.nc",
    f"results/runs/{_RUN}/checkpoints/checkpoint-*.safetensors",
    f"results/runs/{_RUN}/initial_softmax.nc",
    f"results/runs/{_RUN}/steps-*/*[!0-9].nc",
    f"results/runs/{_RUN}/steps-*/audit.json",
    f"results/benchmarks/{_RUN}/*[!0-9].nc",
    "results/recorded/*/*[!0-9].nc",
    "results/recorded/*/audit.json",
    "results/models/*/*/census.nc",
    "results/experiments/*/outcomes.nc",
    "results/claims/claims.json",
    "results/paper/paper.pdf",
)


def is_made_anew(path: Path) -> bool:
    """Return whether a file is one of the workflow's own results, by where it lies."""
    return any(path.absolute().match(pattern) for pattern in MADE_ANEW)


def remedy(path: Path) -> str:
    """Return what to do about a damaged file."""
    segment, again = SEGMENT.fullmatch(path.name), "remove it and run snakemake again"
    if is_made_anew(path) and segment:
        return f"{again}: it is made anew from the checkpoint before it"
    if is_made_anew(path):
        return f"{again}, which makes it anew"
    if segment or CHECKPOINT.fullmatch(path.name):
        return "it cannot be made again: restore a copy of it"
    return "check that it is the right file, or restore a copy of it"


def remedy_of_absence(path: Path) -> str:
    """Return what to do about a file that is missing."""
    if is_made_anew(path):
        return "run snakemake again, which makes it anew"
    return "check the path, or restore a copy of it"
