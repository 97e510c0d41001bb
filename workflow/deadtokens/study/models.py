"""Models that a configuration names, whose embeddings are examined: of others, and of trainings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deadtokens.errors import UserError
from deadtokens.study.config import Examined, flatten
from deadtokens.study.members import members_with
from deadtokens.study.validation import require

if TYPE_CHECKING:
    from deadtokens.study.study import Member, Study

W = "W"  # the matrix of a record
LISTED = 4  # runs in a sentence
DOWNLOADED = "results/weights"  # where pinned models lie
OF_A_MODEL = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".json", ".txt")  # in its folder


@dataclass(frozen=True)
class ExaminedModel:
    """A model as a study sees it.

    Attributes
    ----------
    files : tuple of str
        Paths of what is read of it; it is examined again when one of them is newer.
    arguments : tuple of str
        Of the command that examines it, without the matrix.
    matrices : tuple of str
        Which are examined: 'W' is that of a record.
    member : Member or None
        The run of the study whose record it is; its segments are `files` of no entry.
    recording : str
        Name of the recording that it is, '' if it is none.
    """

    files: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    matrices: tuple[str, ...] = (W,)
    member: "Member | None" = None
    recording: str = ""

    @property
    def origin(self) -> str:
        """Whose matrix it is: a path, a run's name, or an entry of `recorded`."""
        if self.member:
            return self.member.run
        return f"recorded.{self.recording}" if self.recording else self.arguments[0]


def censuses(study: "Study") -> dict[str, ExaminedModel]:
    """Return what is found in each matrix, by its path below the results, and whose it is."""
    return {
        f"models/{name}/{matrix}/census.nc": model
        for name, model in study.models.items()
        for matrix in model.matrices
    }


def resolve_model(where: str, entry: Examined, study: "Study") -> ExaminedModel:
    """Return the model that an entry of the configuration names.

    Parameters
    ----------
    where : str
        The entry's place in the configuration.
    entry : Examined
    study : Study
        Whose experiments and recordings are known.

    Raises
    ------
    UserError
        If a file or folder is not there, or an experiment, its run or a recording.
    """
    if entry.experiment is not None:
        return ExaminedModel(member=_run(where, entry, study))
    if entry.recorded is not None:
        require(study.recordings, entry.recorded, f"{where}.recorded", "recorded")
        return ExaminedModel(recording=entry.recorded)
    return _in_files(where, entry)


def _run(where: str, entry: Examined, study: "Study") -> "Member":
    """Return the one run of an experiment that has the settings of an entry."""
    require(study.experiments, entry.experiment, f"{where}.experiment", "experiments")
    wanted = flatten(entry.run)
    identities = {name: identity for identity, name in study.called.items()}
    if "vocabulary" in wanted:
        wanted["vocabulary"] = identities.get(wanted["vocabulary"], wanted["vocabulary"])
    found = [one.member for one in members_with(study, entry.experiment, wanted)]
    if len(found) == 1:
        return found[0]
    those = found or study.experiments[entry.experiment].members
    raise UserError(
        f"{where}.run: {len(found) or 'no'} runs of {entry.experiment} have these settings; give "
        f"those of one, `seed` and `steps` among them: {_listed(those)}"
    )


def _listed(members: "Sequence[Member]") -> str:
    names = [f"{member.run} ({member.steps:,} updates)" for member in members]
    rest = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + rest


def _in_files(where: str, entry: Examined) -> ExaminedModel:
    path = entry.path or f"{DOWNLOADED}/{entry.source}"
    files = [path] if entry.source else _files_of(where, path)
    arguments = [path]
    if entry.tokenizer:
        if not Path(entry.tokenizer).is_file():
            raise UserError(
                f"{where}.tokenizer: {entry.tokenizer!r} is no file; looked for "
                f"{Path(entry.tokenizer).absolute()}"
            )
        files.append(entry.tokenizer)
        arguments += ["--tokenizer", entry.tokenizer]
    for key in ("embedding", "unembedding"):
        if name := getattr(entry, key):
            arguments += [f"--{key}", name]
    return ExaminedModel(tuple(files), tuple(arguments), tuple(dict.fromkeys(entry.matrices)))


def _files_of(where: str, path: str) -> list[str]:
    """Return the file of a model, or those in its folder that can be its own."""
    place = Path(path)
    if place.is_file():
        return [path]
    if not place.is_dir():
        raise UserError(
            f"{where}.path: {path!r} is neither a file nor a folder; looked for {place.absolute()}"
        )
    found = sorted(str(file) for file in place.iterdir() if file.suffix in OF_A_MODEL)
    if not found:
        raise UserError(
            f"{where}.path: {path!r} has no file of a model ({', '.join(OF_A_MODEL[:5])}); "
            "give its file, or the folder that has it"
        )
    return found
