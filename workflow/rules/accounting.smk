"""Every bit accounted for: the replay, what moved each token, why it stood still.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/audit.json, attribution.nc, stillness.nc
"""


rule run_audit:
    """Replay the optimizer of a run and compare every bit with its record."""
    input:
        **reads(segments=run_segments),
    output:
        **sealed(audit="results/runs/{run}/steps-{steps}/audit.json"),
    log:
        "logs/run_audit/{run}/{steps}.log",
    benchmark:
        "logs/run_audit/{run}/{steps}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    resources:
        runtime=minutes_of("audit"),
    params:
        code=code("audit.audit"),
    shell:
        """
        deadtokens audit {input.segments:q} --output {output.audit:q} --log {log:q}
        """


rule compute_attribution:
    """Say what moved the tokens of a run: gradient, momentum, decay or rounding."""
    input:
        **reads(segments=run_segments),
    output:
        **sealed(attribution="results/runs/{run}/steps-{steps}/attribution.nc"),
    log:
        "logs/compute_attribution/{run}/{steps}.log",
    benchmark:
        "logs/compute_attribution/{run}/{steps}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    resources:
        runtime=minutes_of("attribution"),
    params:
        code=code("attribution.attribution"),
    shell:
        """
        deadtokens attribution {input.segments:q} --output {output.attribution:q} --log {log:q}
        """


rule explain_stillness:
    """Explain why the components of a run's dead tokens stand still."""
    input:
        **reads(segments=run_segments),
    output:
        **sealed(stillness="results/runs/{run}/steps-{steps}/stillness.nc"),
    log:
        "logs/explain_stillness/{run}/{steps}.log",
    benchmark:
        "logs/explain_stillness/{run}/{steps}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    resources:
        runtime=minutes_of("stillness"),
    params:
        code=code("stillness.stillness"),
    shell:
        """
        deadtokens stillness {input.segments:q} --output {output.stillness:q} --log {log:q}
        """
