"""Embedding matrices of trained models: which rows stand out.

REQUIRED INPUTS:

    the files, runs and recordings that the configuration names under `models`, or the package index for those
        that are pinned

OUTPUTS:

    results/weights/{weights}/
    results/models/{model}/{matrix}/census.nc, suspects.csv
    results/models/{model}/{matrix}/{figure}.png, .pdf, .csv
    results/models/matrix_cloud.png, .pdf, .csv: the clouds of all of them

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
        **reads(segments=model_segments),
        files=model_files,
    output:
        **sealed(census="results/models/{model}/{matrix}/census.nc"),
        suspects="results/models/{model}/{matrix}/suspects.csv",
    log:
        "logs/examine_matrix/{model}/{matrix}.log",
    benchmark:
        "logs/examine_matrix/{model}/{matrix}.tsv"
    priority: priority_of_models
    group:
        one_submission("analyses", "model")
    conda:
        ENVIRONMENT
    resources:
        runtime=minutes_of_examination,
    params:
        model=model_arguments,
        code=code("matrices.examine"),
    shell:
        """
        deadtokens examine {params.model:q} {input.segments:q} \
            --name {wildcards.model:q} \
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
                category="Models",
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


rule draw_clouds:
    """Set the unused rows of all matrices beside each other."""
    input:
        **reads(censuses=all_censuses),
    output:
        png=report(
            "results/models/matrix_cloud.png",
            caption="../report/models.rst",
            category="Models",
            labels={"figure": "matrix_cloud", "matrix": "all"},
        ),
        pdf="results/models/matrix_cloud.pdf",
        csv="results/models/matrix_cloud.csv",
    log:
        "logs/draw_clouds/models.log",
    benchmark:
        "logs/draw_clouds/models.tsv"
    group:
        "paper"
    conda:
        ENVIRONMENT
    params:
        caption=caption("matrix_cloud"),
        code=code("figures.matrix_cloud"),
    shell:
        """
        deadtokens figure matrix_cloud {input.censuses:q} --output {output.png:q} --log {log:q}
        """
