"""The study's configuration: corpora, vocabularies, the defaults of a run, experiments."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from deadtokens.models import Model
from deadtokens.study.validation import suggestion
from deadtokens.text.sources import PINNED
from deadtokens.training.spec import Count, RunSpec

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
BYTES = 256  # the base alphabet of a byte-level vocabulary


class Corpus(Model):
    """A text: either a built-in source, read from a pinned package, or a file of the user's."""

    source: str | None = None
    """A built-in text: kjv or thai-words."""

    path: str | None = None
    """A UTF-8 text file instead; relative to where Snakemake runs (`--directory`)."""

    sha256: Digest | None = None
    """Digest that the file must have; without it, it is computed at each start."""

    @model_validator(mode="after")
    def _one_origin(self) -> "Corpus":
        if (self.source is None) == (self.path is None):
            raise ValueError("give either `source` or `path`")
        if self.source is not None and self.source not in PINNED:
            raise ValueError(
                f"source: {self.source!r} is unknown" + suggestion(self.source, PINNED)
            )
        return self


class Vocabulary(Model):
    """A byte-level BPE vocabulary and the text that the model sees through it."""

    tokenizer_corpora: Annotated[list[str], Field(min_length=1)]
    """Corpora on which the tokenizer is trained."""

    training_corpus: str
    """Corpus that the model trains on; tokens that never occur in it are dead."""

    size: Annotated[int, Field(ge=BYTES)] = 4096
    """Tokens, the 256 bytes included. [tokens]"""


class RunSettings(RunSpec):
    """A run's spec, and for how long to train it."""

    steps: Count = 1500
    """Updates; more of them later continue the same run. Multiple of `record.segment`. [updates]"""

    @model_validator(mode="after")
    def _whole_segments(self) -> "RunSettings":
        if self.steps % self.record.segment:
            below = self.steps - self.steps % self.record.segment
            raise ValueError(
                f"steps: {self.steps} is not a multiple of record.segment, {self.record.segment}; "
                f"take {below or self.record.segment} or {below + self.record.segment} steps, or "
                "another segment"
            )
        return self


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one with dotted keys (``record.segment``)."""
    flat_values = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat_values |= flatten(value, f"{prefix}{name}.")
        else:
            flat_values[f"{prefix}{name}"] = value
    return flat_values


def nest(flat_values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inverse of `flatten`."""
    values: dict[str, Any] = {}
    for name, value in flat_values.items():
        *path, last = name.split(".")
        inner = values
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return values


class Experiment(Model):
    """A set of runs: every combination of `vary`, and those listed in `runs`, for each seed."""

    title: str = ""
    """Shown above the figures."""

    set: dict[str, Any] = {}
    """Keys that all runs of the experiment share."""

    vary: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    """Keys and their values: every combination is a run."""

    runs: list[dict[str, Any]] = []
    """Further runs, each a mapping of keys to values."""

    seeds: Annotated[list[int], Field(min_length=1)] = [0]
    """Each run is made with each seed."""

    def overrides(self) -> Iterator[dict[str, Any]]:
        """Yield what each run of the experiment sets, by flat key."""
        combinations = product(*self.vary.values()) if self.vary or not self.runs else ()
        varied = [dict(zip(self.vary, values, strict=True)) for values in combinations]
        for run, seed in product([*varied, *self.runs], self.seeds):
            yield flatten(self.set) | flatten(run) | {"seed": seed}


class Config(Model):
    """The whole configuration file."""

    corpora: dict[Name, Corpus]
    """Texts, by name."""

    vocabularies: dict[Name, Vocabulary]
    """Vocabularies, by name."""

    defaults: RunSettings = RunSettings()
    """What a run is unless an experiment says otherwise."""

    experiments: Annotated[dict[Name, Experiment], Field(min_length=1)]
    """Sets of runs that are compared, by name."""
