"""What recording costs, measured alone on the machine.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-000.nc

OUTPUTS:

    results/benchmarks/{run}/storage.nc, tensors.nc
"""


rule measure_storage:
    """Measure what recording costs; alone on the machine."""
    input:
        **reads(segment="results/runs/{run}/trajectory/segment-000.nc"),
    output:
        **sealed(storage="results/benchmarks/{run}/storage.nc"),
    log:
        "logs/measure_storage/{run}.log",
    benchmark:
        "logs/measure_storage/{run}.tsv"
    conda:
        ENVIRONMENT
    threads: all_cores
    params:
        code=code("costs.storage"),
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
    benchmark:
        "logs/measure_tensors/{run}.tsv"
    conda:
        ENVIRONMENT
    threads: all_cores
    params:
        code=code("costs.tensors"),
    shell:
        """
        deadtokens tensors {input.segment:q} --output {output.tensors:q} --log {log:q}
        """
