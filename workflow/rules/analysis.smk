"""What the record says besides, and what recording costs.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/scalars.nc
    results/benchmarks/{run}/storage.nc, tensors.nc
"""


rule collect_scalars:
    """Collect loss and learning rate of a run."""
    input:
        **reads(segments=run_segments),
    output:
        **sealed(scalars="results/runs/{run}/steps-{steps}/scalars.nc"),
    log:
        "logs/collect_scalars/{run}/{steps}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("analysis.scalars"),
    shell:
        """
        deadtokens scalars {input.segments:q} --output {output.scalars:q} --log {log:q}
        """


rule measure_storage:
    """Measure what recording costs; alone on the machine."""
    input:
        **reads(segment="results/runs/{run}/trajectory/segment-000.nc"),
    output:
        **sealed(storage="results/benchmarks/{run}/storage.nc"),
    log:
        "logs/measure_storage/{run}.log",
    conda:
        ENVIRONMENT
    threads: all_cores
    params:
        code=code("analysis.storage"),
    shell:
        """
        deadtokens storage {input.segment:q} --output {output.storage:q} --log {log:q}
        """


rule measure_tensors:
    """Measure what each choice of recorded tensors gives and costs; alone on the machine."""
    input:
        **reads(segment="results/runs/{run}/trajectory/segment-000.nc"),
    output:
        **sealed(tensors="results/benchmarks/{run}/tensors.nc"),
    log:
        "logs/measure_tensors/{run}.log",
    conda:
        ENVIRONMENT
    threads: all_cores
    params:
        code=code("analysis.tensors"),
    shell:
        """
        deadtokens tensors {input.segment:q} --output {output.tensors:q} --log {log:q}
        """
