"""Where the cloud of dead tokens goes.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/drift.nc
"""


rule measure_drift:
    """Measure how the cloud of dead tokens drifts."""
    input:
        **reads(segments=run_segments),
    output:
        **sealed(drift="results/runs/{run}/steps-{steps}/drift.nc"),
    log:
        "logs/measure_drift/{run}/{steps}.log",
    benchmark:
        "logs/measure_drift/{run}/{steps}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    resources:
        runtime=minutes_of("drift"),
    params:
        code=code("drift.drift"),
    shell:
        """
        deadtokens drift {input.segments:q} --output {output.drift:q} --log {log:q}
        """
