"""What rules of examined models take: their files or their records, and what is made of them."""

from deadtokens.study.estimates import examination_seconds, minutes_on_slow_core
from deadtokens.study.figures import CLOUDS, OF_CENSUSES
from deadtokens.study.models import censuses


def model_files(wildcards):
    """Return the files of a model; of a record none, nor where only what was made of it is here."""
    return list(models[wildcards.model].files)


def model_segments(wildcards):
    """Return the segments of the record that a model is; of one in files none."""
    model = models[wildcards.model]
    if model.member:
        return segments(model.member.run, model.member.steps)
    return list(study.recordings[model.recording].segments) if model.recording else []


def model_arguments(wildcards):
    """Return the command line's words for a model in files, but the matrix."""
    return list(models[wildcards.model].arguments)


def minutes_of_examination(wildcards, attempt):
    """Return the time limit of examining a matrix of a model."""
    shape = models[wildcards.model].shape
    return attempt * minutes_on_slow_core(examination_seconds(*shape))


def priority_of_models(wildcards):
    """Return the priority of what reads a model, which must be here.

    Snakemake asks for it when it knows which jobs will run, and of these alone.
    """
    name, model = wildcards.model, models[wildcards.model]
    if model.is_elsewhere:
        key = model.origin if model.recording else f"models.{name}"
        sys.exit(
            f"What is to be made reads the model {name}, which is not here; name its file or "
            f"folder as {key}.path, instead of {place_of(model)}."
        )
    return 0


def place_of(model):
    """Return the path that a configuration gives for a model that is not made here."""
    if model.recording:
        return study.recordings[model.recording].path
    return model.arguments[0]


def all_censuses(wildcards=None):
    """Return what was found in every matrix of every model."""
    return [f"results/{path}" for path in censuses(study)]


def all_matrices():
    """Return the figures of every matrix of every model, and the one of several together."""
    folders = [str(Path(file).parent) for file in all_censuses()]
    figures = [f"{folder}/{name}.png" for folder in folders for name in OF_CENSUSES]
    return figures + [f"results/models/{CLOUDS}.png"] * (len(folders) > 1)
