"""Figures of an experiment: PNG and PDF, and the numbers that they draw as CSV.

REQUIRED INPUTS:

    results/runs/{run}/steps-{steps}/scalars.nc, freezing.nc, sharpening.nc, audit.json
    results/vocabularies/{vocabulary}/census.nc
    results/benchmarks/{run}/storage.nc

OUTPUTS:

    results/figures/{experiment}/{figure}.png, .pdf, .csv
"""

for figure in FIGURES:

    rule:
        name:
            f"draw_{figure}"
        input:
            figure_inputs(figure),
        output:
            png=report(
                f"results/figures/{{experiment}}/{figure}.png",
                caption=f"../report/{figure}.rst",
                category="{experiment}",
                labels={"figure": figure},
            ),
            pdf=f"results/figures/{{experiment}}/{figure}.pdf",
            csv=f"results/figures/{{experiment}}/{figure}.csv",
        log:
            f"logs/draw_{figure}/{{experiment}}.log",
        conda:
            ENVIRONMENT
        params:
            module=f"deadtokens.figures.{figure}",
            title=experiment_title,
            code=code(f"figures.{figure}"),
        shell:
            """
            python -m {params.module} {input:q} \
                --title {params.title:q} \
                --output {output.png:q} \
                --log {log:q}
            """
