"""The study that a configuration asks for: which texts, vocabularies and runs, named by content.

Names of entries in the configuration are labels. What is computed is named by what determines it,
so that entries which ask for the same thing share it, and a renamed entry is found again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deadtokens.errors import UserError
from deadtokens.files import sha256_of
from deadtokens.models import short_digest
from deadtokens.run.factors import refuse_alike
from deadtokens.run.spec import RunSpec, flat
from deadtokens.study.config import (
    Config,
    Corpus,
    Experiment,
    RunSettings,
    Setting,
    Vocabulary,
    nest,
)
from deadtokens.study.recordings import Recording, resolve
from deadtokens.study.validation import Place, build, require, suggestion
from deadtokens.text.sources import PINNED

LONGEST_ORIGIN = 80  # bytes: the name of a folder and of a log has 255


@dataclass(frozen=True)
class CorpusText:
    """A corpus: either `source` or `path` is set."""

    source: str | None
    path: str | None
    sha256: str
    size: int

    @property
    def identity(self) -> str:
        """Its name in the results: where it comes from, and a short digest of its content."""
        origin = self.source or "".join(
            letter if letter.isalnum() else "-" for letter in Path(self.path).stem
        )
        short = origin.encode()[:LONGEST_ORIGIN].decode(errors="ignore")
        return f"{short}-{self.sha256[:8]}"


@dataclass(frozen=True)
class ResolvedVocabulary:
    """A vocabulary with its corpora by identity."""

    tokenizer_corpora: tuple[str, ...]
    training_corpus: str
    size: int
    unused: int = 0

    @property
    def identity(self) -> str:
        """Its name in the results; `unused` came later and renames none that is without."""
        content = {key: value for key, value in vars(self).items() if key != "unused" or value}
        return f"bpe-{self.size}-{short_digest(content)}"


@dataclass(frozen=True)
class Member:
    """A run as an experiment sees it: its identity and how many updates of it count."""

    run: str
    steps: int


@dataclass(frozen=True)
class ResolvedExperiment:
    """An experiment's title and runs, and what is drawn of them: everything, if None.

    Its runs are told apart by `factors` of their precision regime, if it has any. Beside them it
    has `recordings`, by name.
    """

    title: str
    members: tuple[Member, ...]
    recordings: tuple[str, ...]
    factors: tuple[str, ...]
    figures: tuple[str, ...] | None

    def draws(self, figure: str) -> bool:
        """Return whether a figure is asked for."""
        return self.figures is None or figure in self.figures


class Study:
    """Everything that a configuration asks for.

    Parameters
    ----------
    values : mapping
        The configuration, as read from YAML.

    Attributes
    ----------
    corpora : dict of str to CorpusText
    vocabularies : dict of str to ResolvedVocabulary
    runs : dict of str to RunSpec
        All by identity; a spec's `vocabulary` is an identity too.
    called : dict of str to str
        The names of vocabularies in the configuration, by identity.
    recordings : dict of str to Recording
        By name.
    experiments : dict of str to ResolvedExperiment
        By name.
    releases : bool
        Whether a run's record is removed once everything that is read from it is sealed.
    train_again : bool
        Whether runs whose record was removed may be trained again.
    elsewhere : bool
        Whether a run may go on on another machine than before.
    runs_per_gpu : int
        How many trainings a GPU of this machine takes at once.
    claims : str or None
        The file of claims, if the configuration names one.
    examined : dict of str to Examined
        The entries of `models`, by name; `models.models_of` finds what they name.

    Raises
    ------
    UserError
        One sentence for each mistake, with the key's path.
    """

    def __init__(self, values: Mapping[str, Any]):
        config: Config = build(Config, values)
        corpora = {name: _resolve_corpus(name, corpus) for name, corpus in config.corpora.items()}
        vocabularies = {
            name: _resolve_vocabulary(name, vocabulary, corpora)
            for name, vocabulary in config.vocabularies.items()
        }
        self.releases = config.keep == "derived"
        self.train_again = config.train_again
        self.elsewhere = config.machines.elsewhere
        self.runs_per_gpu = config.machines.runs_per_gpu
        self.claims, self.examined = config.claims, config.models
        self.corpora = {corpus.identity: corpus for corpus in corpora.values()}
        self.vocabularies = {entry.identity: entry for entry in vocabularies.values()}
        self.called = {entry.identity: name for name, entry in vocabularies.items()}
        self.runs: dict[str, RunSpec] = {}
        self._resolve_run(config.defaults, vocabularies, Place("defaults"))
        self.recordings = _resolve_recordings(config)
        self.experiments = {
            name: self._resolve_experiment(name, experiment, config, vocabularies)
            for name, experiment in config.experiments.items()
        }

    def _resolve_experiment(
        self,
        name: str,
        experiment: Experiment,
        config: Config,
        vocabularies: Mapping[str, ResolvedVocabulary],
    ) -> ResolvedExperiment:
        """Add the experiment's runs to `runs` and return it."""
        members, defaults = [], flat(config.defaults)
        for settings in experiment.settings(config.seeds):
            _check_keys(settings, f"experiments.{name}", defaults)
            place = Place(f"experiments.{name}", {key: settings[key].place for key in settings})
            values = defaults | {key: settings[key].value for key in settings}
            run: RunSettings = build(RunSettings, nest(values), place)
            spec = self._resolve_run(run, vocabularies, place)
            identity = spec.identity()
            self.runs[identity] = spec
            members.append(Member(identity, run.steps))
        recordings = _checked_recordings(f"experiments.{name}", experiment, self.recordings)
        if experiment.factors:
            self._check_factors(name, experiment.factors, members)
        figures = None if experiment.figures is None else tuple(experiment.figures)
        return ResolvedExperiment(
            experiment.title or name,
            tuple(dict.fromkeys(members)),
            recordings,
            tuple(experiment.factors),
            figures,
        )

    def _check_factors(self, name: str, factors: Sequence[str], members: Sequence[Member]) -> None:
        try:
            refuse_alike((self.runs[member.run].precision for member in members), factors)
        except UserError as error:
            raise UserError(f"experiments.{name}.factors: {error}") from None

    def _resolve_run(
        self, run: RunSettings, vocabularies: Mapping[str, ResolvedVocabulary], place: Place
    ) -> RunSpec:
        """Return the spec with the vocabulary's identity in place of its name.

        What it holds was validated as `run`.
        """
        require(vocabularies, run.vocabulary, place.of("vocabulary"), "vocabularies")
        vocabulary = vocabularies[run.vocabulary]
        text = self.corpora[vocabulary.training_corpus]
        if text.size <= run.context:  # a token has at least one byte
            raise UserError(
                f"{place.of('context')}: {run.context} tokens need a longer text than the "
                f"{text.size} bytes of {text.source or text.path}"
            )
        fields = {name: getattr(run, name) for name in RunSpec.model_fields}
        return RunSpec.model_construct(**fields | {"vocabulary": vocabulary.identity})

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Every run of every experiment, each with its number of steps, once."""
        experiments = self.experiments.values()
        return tuple(dict.fromkeys(one for experiment in experiments for one in experiment.members))

    @cached_property
    def updates(self) -> dict[str, int]:
        """Of every run how many updates of it count, in any experiment."""
        ascending = sorted(self.members, key=lambda member: member.steps)
        return {member.run: member.steps for member in ascending}

    def tokens(self, run: str) -> int:
        """Return the size of the vocabulary on which a run trains."""
        return self.vocabularies[self.runs[run].vocabulary].size

    def segments(self, run: str, steps: int) -> range:
        """Return the numbers of the segments that hold the first `steps` updates of a run."""
        return range(steps // self.runs[run].record.segment)


def _resolve_corpus(name: str, corpus: Corpus) -> CorpusText:
    if corpus.source is not None:
        pinned = PINNED[corpus.source]
        return CorpusText(corpus.source, None, pinned.sha256, pinned.size)
    path = Path(corpus.path)
    try:
        if not path.is_file():
            raise UserError(
                f"corpora.{name}.path: {corpus.path!r} is no file; looked for {path.absolute()}"
            )
        digest, size = corpus.sha256 or sha256_of(path), path.stat().st_size
    except OSError as error:
        raise UserError(
            f"corpora.{name}.path: {corpus.path!r} cannot be read ({error.strerror}); "
            "check its permissions"
        ) from None
    return CorpusText(None, corpus.path, digest, size)


def _resolve_recordings(config: Config) -> dict[str, Recording]:
    folders: dict[Path, str] = {}
    for name, entry in config.recorded.items():
        before = folders.setdefault(Path(entry.path).resolve(), name)
        if before != name:
            raise UserError(
                f"recorded.{name}.path: is the folder of recorded.{before} too; keep one of them"
            )
    return {
        name: resolve(f"recorded.{name}", entry, name) for name, entry in config.recorded.items()
    }


def _checked_recordings(
    where: str, experiment: Experiment, known: Mapping[str, Recording]
) -> tuple[str, ...]:
    for name in experiment.recorded:
        require(known, name, f"{where}.recorded", "recorded")
    return tuple(experiment.recorded)


def _resolve_vocabulary(
    name: str, vocabulary: Vocabulary, corpora: Mapping[str, CorpusText]
) -> ResolvedVocabulary:
    where = f"vocabularies.{name}"
    for corpus in vocabulary.tokenizer_corpora:
        require(corpora, corpus, f"{where}.tokenizer_corpora", "corpora")
    require(corpora, vocabulary.training_corpus, f"{where}.training_corpus", "corpora")
    return ResolvedVocabulary(
        tuple(corpora[corpus].identity for corpus in vocabulary.tokenizer_corpora),
        corpora[vocabulary.training_corpus].identity,
        vocabulary.size,
        vocabulary.unused,
    )


def _check_keys(settings: Mapping[str, Setting], where: str, known: Mapping[str, Any]) -> None:
    """Refuse keys that a run does not have, and seeds outside `seeds`."""
    for key, setting in settings.items():
        if key not in known:
            raise UserError(f"{where}.{setting.place}: unknown key{suggestion(key, known)}")
        if key == "seed" and setting.place != "seeds":
            raise UserError(f"{where}.{setting.place}: seeds stand in the list {where}.seeds")
