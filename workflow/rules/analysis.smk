"""What the record of a run says: small derived files.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc
    results/runs/{run}/checkpoints/checkpoint-{segment}.safetensors
    results/vocabularies/{vocabulary}/stream.nc, census.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/: see the rules
    results/runs/{run}/initial.nc
    results/benchmarks/{run}/storage.nc, tensors.nc
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


rule explain_stillness:
    """Explain why the components of a run's dead tokens stand still."""
    input:
        run_segments,
    output:
        "results/runs/{run}/steps-{steps}/stillness.nc",
    log:
        "logs/explain_stillness/{run}/{steps}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("analysis.stillness"),
    shell:
        """
        python -m deadtokens.analysis.stillness {input:q} --output {output:q} --log {log:q}
        """


rule attribute_motion:
    """Say what moved the tokens of a run: gradient, momentum, decay or rounding."""
    input:
        run_segments,
    output:
        "results/runs/{run}/steps-{steps}/attribution.nc",
    log:
        "logs/attribute_motion/{run}/{steps}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("analysis.attribution"),
    shell:
        """
        python -m deadtokens.analysis.attribution {input:q} --output {output:q} --log {log:q}
        """


rule go_back_by_hand:
    """Backpropagate by hand at the states of a run and compare with autograd."""
    input:
        checkpoints=run_checkpoints,
        stream=run_vocabulary("stream.nc"),
    output:
        flow="results/runs/{run}/steps-{steps}/backprop.nc",
        csv="results/runs/{run}/steps-{steps}/backprop.csv",
    log:
        "logs/go_back_by_hand/{run}/{steps}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("backprop.measure"),
    shell:
        """
        python -m deadtokens.backprop.measure {input.checkpoints:q} \
            --stream {input.stream:q} \
            --output {output.flow:q} \
            --csv {output.csv:q} \
            --log {log:q}
        """


rule measure_gradients:
    """Hold the gradients of a run against their formulas, recorded and probed."""
    input:
        segments=run_segments,
        checkpoints=run_checkpoints,
        stream=run_vocabulary("stream.nc"),
    output:
        "results/runs/{run}/steps-{steps}/gradients.nc",
    log:
        "logs/measure_gradients/{run}/{steps}.log",
    conda:
        ENVIRONMENT
    threads: lambda wildcards: study.runs[wildcards.run].threads
    params:
        code=code("gradients.measure"),
    shell:
        """
        python -m deadtokens.gradients.measure {input.segments:q} \
            --checkpoints {input.checkpoints:q} \
            --stream {input.stream:q} \
            --output {output:q} \
            --log {log:q}
        """


rule scan_initial_softmax:
    """Measure the softmax and the gradients before training, by the scale of the embedding."""
    input:
        stream=run_vocabulary("stream.nc"),
        census=run_vocabulary("census.nc"),
    output:
        "results/runs/{run}/initial.nc",
    log:
        "logs/scan_initial_softmax/{run}.log",
    conda:
        ENVIRONMENT
    threads: lambda wildcards: study.runs[wildcards.run].threads
    params:
        spec=lambda wildcards: study.runs[wildcards.run].json_text(),
        code=code("gradients.initial"),
    shell:
        """
        python -m deadtokens.gradients.initial \
            --name {wildcards.run:q} \
            --spec {params.spec:q} \
            --stream {input.stream:q} \
            --census {input.census:q} \
            --output {output:q} \
            --log {log:q}
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


rule measure_tensors:
    """Measure what each choice of recorded tensors gives and costs; alone on the machine."""
    input:
        "results/runs/{run}/trajectory/segment-000.nc",
    output:
        "results/benchmarks/{run}/tensors.nc",
    log:
        "logs/measure_tensors/{run}.log",
    conda:
        ENVIRONMENT
    threads: all_cores
    params:
        code=code("analysis.tensors"),
    shell:
        """
        python -m deadtokens.analysis.tensors {input:q} --output {output:q} --log {log:q}
        """
