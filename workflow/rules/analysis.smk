"""What the record of a run says: small derived files.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/scalars.nc, freezing.nc
"""


rule collect_scalars:
    input:
        run_segments,
    output:
        "results/runs/{run}/steps-{steps}/scalars.nc",
    log:
        "logs/collect_scalars/{run}/{steps}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("analysis.scalars"),
    message:
        "Collecting loss and learning rate of {wildcards.run}"
    shell:
        """
        python -m deadtokens.analysis.scalars {input:q} --output {output:q} --log {log:q}
        """


rule measure_freezing:
    input:
        run_segments,
    output:
        "results/runs/{run}/steps-{steps}/freezing.nc",
    log:
        "logs/measure_freezing/{run}/{steps}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("analysis.freezing"),
    message:
        "Measuring when the tokens of {wildcards.run} stand still"
    shell:
        """
        python -m deadtokens.analysis.freezing {input:q} --output {output:q} --log {log:q}
        """
