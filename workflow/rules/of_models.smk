"""What rules of other people's models take: their files, and what is made of them."""

from deadtokens.study.estimates import examination_seconds, minutes_on_slow_core
from deadtokens.study.figures import OF_CENSUSES


def model_files(wildcards):
    """Return the files of a model; none where only what was made of it is here."""
    return list(study.models[wildcards.model].files)


def model_arguments(wildcards):
    """Return the command line's words for a model."""
    return list(study.models[wildcards.model].arguments)


def minutes_of_examination(wildcards, attempt):
    """Return the time limit of examining a matrix of a model."""
    shape = study.models[wildcards.model].shape
    return attempt * minutes_on_slow_core(examination_seconds(*shape))


def priority_of_models(wildcards):
    """Return the priority of what reads a model, which must be here.

    Snakemake asks for it when it knows which jobs will run, and of these alone.
    """
    name = wildcards.model
    if study.models[name].is_elsewhere:
        sys.exit(
            f"What is to be made reads the model {name}, which is not here; name its file or "
            f"folder as models.{name}.path, instead of {study.models[name].arguments[0]}."
        )
    return 0


def all_matrices():
    """Return the figures of every matrix of every model."""
    return [
        f"results/models/{name}/{matrix}/{figure}.png"
        for name, model in study.models.items()
        for matrix in model.matrices
        for figure in OF_CENSUSES
    ]
