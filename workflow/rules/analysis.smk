"""What the record of a run says: small derived files.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/scalars.nc, freezing.nc, sharpening.nc, audit.json
    results/benchmarks/{run}/storage.nc
"""


rule collect_scalars:
    """Collect loss and learning rate of a run."""
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
    shell:
        """
        python -m deadtokens.analysis.scalars {input:q} --output {output:q} --log {log:q}
        """


rule measure_freezing:
    """Measure when the tokens of a run stand still."""
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
    shell:
        """
        python -m deadtokens.analysis.freezing {input:q} --output {output:q} --log {log:q}
        """


rule measure_sharpening:
    """Measure what drives the dead tokens of a run, and what holds them."""
    input:
        run_segments,
    output:
        "results/runs/{run}/steps-{steps}/sharpening.nc",
    log:
        "logs/measure_sharpening/{run}/{steps}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("analysis.sharpening"),
    shell:
        """
        python -m deadtokens.analysis.sharpening {input:q} --output {output:q} --log {log:q}
        """


rule audit_replay:
    """Replay the optimizer of a run and compare every bit with its record."""
    input:
        run_segments,
    output:
        "results/runs/{run}/steps-{steps}/audit.json",
    log:
        "logs/audit_replay/{run}/{steps}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("analysis.audit"),
    shell:
        """
        python -m deadtokens.analysis.audit {input:q} --output {output:q} --log {log:q}
        """


rule measure_storage:
    """Measure what recording costs; alone on the machine."""
    input:
        "results/runs/{run}/trajectory/segment-000.nc",
    output:
        "results/benchmarks/{run}/storage.nc",
    log:
        "logs/measure_storage/{run}.log",
    conda:
        ENVIRONMENT
    threads: all_cores
    params:
        code=code("analysis.storage"),
    shell:
        """
        python -m deadtokens.analysis.storage {input:q} --output {output:q} --log {log:q}
        """
