"""What rules of examined models take: their files or their records, and what is made of them."""

from deadtokens.study.figures import OF_CENSUSES
from deadtokens.study.models import censuses


def model_files(wildcards):
    """Return the files of a model; of the record of a training none."""
    return list(study.models[wildcards.model].files)


def model_segments(wildcards):
    """Return the segments of the record that a model is; of one in files none."""
    model = study.models[wildcards.model]
    if model.member:
        return segments(model.member.run, model.member.steps)
    return list(study.recordings[model.recording].segments) if model.recording else []


def model_arguments(wildcards):
    """Return the command line's words for a model in files, but the matrix."""
    return list(study.models[wildcards.model].arguments)


def all_censuses(wildcards=None):
    """Return what was found in every matrix of every model."""
    return [f"results/{path}" for path in censuses(study)]


def all_matrices():
    """Return the figures of every matrix of every model, and the one of several together."""
    folders = [file.removesuffix("/census.nc") for file in all_censuses()]
    figures = [f"{folder}/{name}.png" for folder in folders for name in OF_CENSUSES]
    return figures + ["results/models/matrix_cloud.png"] * (len(folders) > 1)
