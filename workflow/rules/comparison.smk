"""What the runs of an experiment come to, and what changing one setting does.

REQUIRED INPUTS:

    results/runs/{run}/steps-{steps}/: see OUTCOME_SOURCES in deadtokens.study.figures

OUTPUTS:

    results/experiments/{experiment}/outcomes.nc, outcomes.csv, effects.csv
"""


rule compute_outcomes:
    """Compare the runs of an experiment, paired by seed."""
    input:
        **reads(files=outcome_inputs),
    output:
        **sealed(outcomes="results/experiments/{experiment}/outcomes.nc"),
        csv="results/experiments/{experiment}/outcomes.csv",
        effects="results/experiments/{experiment}/effects.csv",
    log:
        "logs/compute_outcomes/{experiment}.log",
    benchmark:
        "logs/compute_outcomes/{experiment}.tsv"
    group:
        one_submission("experiment", "experiment")
    conda:
        ENVIRONMENT
    params:
        runs=folders,
        factors=factors,
        called=called,
        code=code("comparison.outcomes"),
    shell:
        """
        deadtokens outcomes {params.runs:q} \
            {params.factors:q} \
            {params.called:q} \
            --output {output.outcomes:q} \
            --csv {output.csv:q} \
            --effects {output.effects:q} \
            --log {log:q}
        """
