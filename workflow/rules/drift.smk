"""Where the cloud of dead tokens goes, and from when on it is seen in W alone.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/drift.nc, indicators.nc
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


rule follow_indicators:
    """Find from which update on indicators of unused tokens see the dead tokens of a run."""
    input:
        **reads(segments=run_segments),
    output:
        **sealed(indicators="results/runs/{run}/steps-{steps}/indicators.nc"),
    log:
        "logs/follow_indicators/{run}/{steps}.log",
    benchmark:
        "logs/follow_indicators/{run}/{steps}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    resources:
        runtime=minutes_of("indicators"),
    params:
        code=code("matrices.history"),
    shell:
        """
        deadtokens indicators {input.segments:q} --output {output.indicators:q} --log {log:q}
        """
