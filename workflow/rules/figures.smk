"""Figures of an experiment: PNG and PDF, and the numbers that they draw as CSV.

REQUIRED INPUTS:

    results/runs/{run}/steps-{steps}/: see FIGURES and FOLDERS in deadtokens.study
    results/runs/{run}/initial_softmax.nc
    results/vocabularies/{vocabulary}/census.nc
    results/benchmarks/{run}/storage.nc, tensors.nc

OUTPUTS:

    results/figures/{experiment}/{figure}.png, .pdf, .csv
    results/figures/{experiment}/drift.gif
"""

for figure in FIGURES:

    rule:
        name:
            f"draw_{figure}"
        input:
            **reads(files=figure_inputs(figure)),
        output:
            png=report(
                f"results/figures/{{experiment}}/{figure}.png",
                caption="../report/figure.rst",
                category=question_of(figure),
                subcategory="{experiment}",
                labels={"figure": figure},
            ),
            pdf=f"results/figures/{{experiment}}/{figure}.pdf",
            csv=f"results/figures/{{experiment}}/{figure}.csv",
        log:
            f"logs/draw_{figure}/{{experiment}}.log",
        benchmark:
            f"logs/draw_{figure}/{{experiment}}.tsv"
        group:
            one_submission("experiment", "experiment")
        conda:
            ENVIRONMENT
        params:
            figure=figure,
            title=experiment_title(figure),
            called=called,
            caption=caption(figure),
            code=code(f"figures.{figure}"),
        shell:
            """
            deadtokens figure {params.figure} {input.files:q} \
                {params.called:q} \
                --title={params.title:q} \
                --output {output.png:q} \
                --log {log:q}
            """


rule draw_animation:
    """Show the cloud of an experiment's first run as it drifts and freezes."""
    input:
        **reads(drift=first_drift),
    output:
        report(
            "results/figures/{experiment}/drift.gif",
            caption="../report/figure.rst",
            category=question_of("path"),
            subcategory="{experiment}",
            labels={"figure": "drift"},
        ),
    log:
        "logs/draw_animation/{experiment}.log",
    benchmark:
        "logs/draw_animation/{experiment}.tsv"
    group:
        one_submission("experiment", "experiment")
    conda:
        ENVIRONMENT
    params:
        caption=caption("animation"),
        code=code("figures.animation"),
    shell:
        """
        deadtokens animation {input.drift:q} --output {output:q} --log {log:q}
        """
