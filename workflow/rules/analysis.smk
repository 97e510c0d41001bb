"""What the record of a run says: small derived files.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/scalars.nc, freezing.nc, drift.nc, audit.json
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
        code=code("analysis.drift"),
    shell:
        """
        python -m deadtokens.analysis.drift {input:q} --output {output:q} --log {log:q}
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
