"""When dead tokens stand still, and what drives them.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/freezing.nc, sharpening.nc
"""


rule measure_freezing:
    """Measure when the tokens of a run stand still."""
    input:
        **reads(segments=run_segments),
    output:
        **sealed(freezing="results/runs/{run}/steps-{steps}/freezing.nc"),
    log:
        "logs/measure_freezing/{run}/{steps}.log",
    benchmark:
        "logs/measure_freezing/{run}/{steps}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    resources:
        runtime=minutes_of("freezing"),
    params:
        code=code("freezing.freezing"),
    shell:
        """
        deadtokens freezing {input.segments:q} --output {output.freezing:q} --log {log:q}
        """


rule measure_sharpening:
    """Measure what drives the dead tokens of a run, and what holds them."""
    input:
        **reads(segments=run_segments),
    output:
        **sealed(sharpening="results/runs/{run}/steps-{steps}/sharpening.nc"),
    log:
        "logs/measure_sharpening/{run}/{steps}.log",
    benchmark:
        "logs/measure_sharpening/{run}/{steps}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    resources:
        runtime=minutes_of("sharpening"),
    params:
        code=code("freezing.sharpening"),
    shell:
        """
        deadtokens sharpening {input.segments:q} --output {output.sharpening:q} --log {log:q}
        """
