"""What is claimed of a study before it is run: statements, each with its number and its criterion.

A claim speaks of an outcome's value, of an effect on it, or of a variable of a derived file; the
models say how each is found. `deadtokens.claims` evaluates them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, model_validator

from deadtokens.errors import UserError
from deadtokens.models import Model
from deadtokens.study.figures import FIGURES, OUTCOMES, QUESTIONS, Source
from deadtokens.study.files import read_configuration
from deadtokens.study.members import SettingOf, Settings, members_with
from deadtokens.study.study import Member, Study
from deadtokens.study.validation import NAME, Place, build
from deadtokens.study.wanted import derived_files

OWN = Path(__file__).parents[3] / "config" / "claims.yaml"
SOURCES = {source.file: source for source in FIGURES.values()}
FEWEST_SEEDS = 5  # of a claim over seeds, unless it says otherwise

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Label = str | float
STATISTICS = ("mean", "median", "min", "max", "sum", "first", "last", "last over first")


class Value(Model):
    """An outcome of the runs that have a setting, or its ratio to that of others by seed."""

    experiment: str
    """Experiment of the configuration."""

    outcome: str
    """Outcome, as `outcomes.csv` names it."""

    setting: Settings = {}
    """Keys of the runs and their values, `steps`, `vocabulary_size` and factors among them."""

    ratio_to: Settings | None = None
    """The setting of the runs by whose outcome it is divided, seed by seed; `null`: it is not."""


class Effect(Model):
    """What a change does to an outcome: a contrast between the runs of an experiment."""

    experiment: str
    """Experiment of the configuration."""

    outcome: str
    """Outcome, as `outcomes.csv` names it."""

    changed: str | list[str]
    """Key that is changed; a list of two: their interaction."""

    to: Any
    """Its value, or both keys' values."""

    from_: Annotated[Any, Field(alias="from")]
    """Its baseline, or both keys' baselines."""

    over: str | None = None
    """Key over whose values the mean is taken: a main effect; `null`: an effect."""

    context: Settings = {}
    """Other keys' values."""

    @model_validator(mode="after")
    def _of_one_length(self) -> "Effect":
        lengths = {len(values) for values in (self.keys, listed(self.to), listed(self.from_))}
        if lengths not in ({1}, {2}):
            raise ValueError("`changed`, `to` and `from` must be one value each, or two each")
        if len(self.keys) == 2 and self.over is not None:
            raise ValueError("over: an interaction is over no further key")
        return self

    @property
    def keys(self) -> list[str]:
        """The key that is changed, or both."""
        return listed(self.changed)


class Variable(Model):
    """A variable of a derived file, reduced to one number for each run."""

    experiment: str
    """Experiment of the configuration."""

    file: Literal[tuple(SOURCES)]
    """Derived file."""

    variable: str
    """Its variable."""

    relative_to: str | None = None
    """Variable of the file by whose number it is divided; `null`: it is not."""

    at: dict[str, Label] = {}
    """Coordinates and one label each."""

    within: dict[str, Annotated[list[Number], Field(min_length=2, max_length=2)]] = {}
    """Coordinates and the first and last of the values that are taken."""

    where: str | None = None
    """Variable of the file that is true for what is taken; `null`: everything."""

    statistic: Literal[STATISTICS] | None = None
    """What becomes of the values that are left; `null`: one value is left."""

    setting: Settings = {}
    """Keys of the runs and their values, `steps` and `vocabulary_size` among them."""

    ratio_to: Settings | None = None
    """The setting of the runs by whose number it is divided, seed by seed; `null`: it is not."""


class Criterion(Model):
    """When a claim holds."""

    above: Number | None = None
    """Number that must be exceeded."""

    below: Number | None = None
    """Number that must not be reached."""

    between: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    """Two numbers; they may be reached."""

    by: Literal["mean", "interval", "every run"]
    """What is held against it: the mean over seeds, both ends of its interval, or each run."""

    undefined: Literal["not tested", "fails"] = "not tested"
    """What a claim is if a run that did not diverge has no such number."""

    @model_validator(mode="after")
    def _one_limit(self) -> "Criterion":
        given = [one for one in (self.above, self.below, self.between) if one is not None]
        if len(given) != 1:
            raise ValueError("needs one of `above`, `below` and `between`")
        if self.between is not None and self.between[0] >= self.between[1]:
            raise ValueError("between: needs the lower number first")
        return self

    def met_by(self, number: float) -> bool:
        """Return whether a number is where it must be; NaN is not."""
        if self.between is not None:
            return self.between[0] <= number <= self.between[1]
        return number > self.above if self.above is not None else number < self.below

    @property
    def text(self) -> str:
        """The criterion in words."""
        if self.between is not None:
            limit = " to ".join(map(_plain, self.between))
        else:
            above = self.above is not None
            limit = f"above {_plain(self.above)}" if above else f"below {_plain(self.below)}"
        return f"{limit} ({self.by})"


class Claim(Model):
    """A statement, the number that it speaks of, and the criterion by which it holds or fails."""

    statement: Text
    """What is claimed, in a sentence."""

    question: Literal[tuple(QUESTIONS)]
    """Question of the study that it answers."""

    source: Text
    """Whose claim or reference number it is: a seed note, a paper, `ours`."""

    value: Value | None = None
    """Speaks of an outcome."""

    effect: Effect | None = None
    """Speaks of an effect on an outcome."""

    variable: Variable | None = None
    """Speaks of a variable of a derived file."""

    criterion: Criterion
    """When it holds."""

    seeds: Annotated[int, Field(ge=1)] = FEWEST_SEEDS
    """With how many seeds it is tested at least."""

    seen: bool = False
    """Whether its number was known when it was written."""

    @model_validator(mode="after")
    def _one_subject(self) -> "Claim":
        if sum(one is not None for one in (self.value, self.effect, self.variable)) != 1:
            raise ValueError("needs one of `value`, `effect` and `variable`")
        if self.criterion.by == "interval" and self.seeds < 2:
            raise ValueError("seeds: one seed has no interval; take at least 2")
        return self

    @property
    def subject(self) -> Value | Effect | Variable:
        """What the claim speaks of."""
        return self.value or self.effect or self.variable

    @property
    def source_file(self) -> Source:
        """The derived file that has its number."""
        return OUTCOMES if self.variable is None else SOURCES[self.variable.file]


def read_claims(path: Path) -> dict[str, Claim]:
    """Read a file of claims.

    Raises
    ------
    UserError
        A sentence for each mistake: the file, the claim, what is wrong.
    """
    claims, mistakes = {}, []
    for name, values in read_configuration([path]).items():
        try:
            claims[_checked_name(name)] = build(Claim, values, Place(str(name)))
        except UserError as error:
            mistakes += [f"{path}: {line}" for line in str(error).splitlines()]
    if mistakes:
        raise UserError("\n".join(mistakes))
    return claims


def _checked_name(name: Any) -> str:
    checked = TypeAdapter(Annotated[str, StringConstraints(pattern=NAME)])
    try:
        return checked.validate_python(name)
    except ValueError:
        raise UserError(
            f"{name}: a claim's name consists of lower-case letters, digits and hyphens"
        ) from None


def claims_of(study: Study) -> dict[str, Claim]:
    """Return the claims of a study: of the file that it names, else the workflow's own.

    Where the package is installed without the workflow there are no claims of its own.

    Raises
    ------
    UserError
        As `read_claims`, or if the study's file of claims is not there.
    """
    path = claims_file(study)
    if path is None:
        return {}
    if not path.is_file():
        raise UserError(f"claims: {str(path)!r} is no file; looked for {path.absolute()}")
    return read_claims(path)


def claims_file(study: Study) -> Path | None:
    """Return the file of a study's claims."""
    if study.claims is not None:
        return Path(study.claims)
    return OWN if OWN.exists() else None


def _plain(value: float) -> str:
    """Write a number: 1,450 and 1e-6."""
    return f"{value:,g}".replace("e-0", "e-")


def listed(value: Any) -> list[Any]:
    """Return a list as it is, anything else as a list of it alone."""
    return value if isinstance(value, list) else [value]


def claimed_files(study: Study, claims: Iterable[Claim]) -> dict[str, Member]:
    """Return the derived files of which claims speak: none of an experiment that there is not."""
    found: dict[str, Member] = {}
    for claim in claims:
        for setting in settings_spoken_of(claim):
            found |= {path: one.member for path, one in files_with(study, claim, setting).items()}
    return found


def settings_spoken_of(claim: Claim) -> Iterator[Settings]:
    """Yield the setting of the runs that a claim speaks of, and that of those it divides by."""
    if isinstance(claim.subject, Variable):
        yield claim.subject.setting
        if claim.subject.ratio_to is not None:
            yield claim.subject.ratio_to
    else:
        yield {}


def files_with(study: Study, claim: Claim, setting: Settings) -> dict[str, SettingOf]:
    """Return the derived files that have a claim's number for the runs with a setting."""
    experiment = claim.subject.experiment
    if experiment not in study.experiments:
        return {}
    runs = {one.member: one for one in members_with(study, experiment, setting)}
    files = derived_files(study, claim.source_file, experiment)
    return {path: runs[member] for path, member in files.items() if member in runs}
