"""What rules of other people's models take: their files, and what is made of them."""


def model_files(wildcards):
    """Return the files of a model."""
    return list(study.models[wildcards.model].files)


def model_arguments(wildcards):
    """Return the command line's words for a model."""
    return list(study.models[wildcards.model].arguments)


def all_censuses():
    """Return what is found of every matrix of every model."""
    return [
        f"results/models/{name}/{matrix}/census.nc"
        for name, model in study.models.items()
        for matrix in model.matrices
    ]
