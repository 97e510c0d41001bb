"""Where the cloud of dead tokens goes.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/drift.nc
"""


rule measure_drift:
    """Measure how the cloud of dead tokens drifts."""
    input:
        run_segments,
    output:
        "results/runs/{run}/steps-{steps}/drift.nc",
    log:
        "logs/measure_drift/{run}/{steps}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("drift.measure"),
    shell:
        """
        python -m deadtokens.drift.measure {input:q} --output {output:q} --log {log:q}
        """
