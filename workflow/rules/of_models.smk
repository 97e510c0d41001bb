"""What rules of other people's models take: their files, and what is made of them."""

from deadtokens.study.figures import OF_CENSUSES


def model_files(wildcards):
    """Return the files of a model."""
    return list(study.models[wildcards.model].files)


def model_arguments(wildcards):
    """Return the command line's words for a model."""
    return list(study.models[wildcards.model].arguments)


def all_matrices():
    """Return the figures of every matrix of every model."""
    return [
        f"results/models/{name}/{matrix}/{figure}.png"
        for name, model in study.models.items()
        for matrix in model.matrices
        for figure in OF_CENSUSES
    ]
