"""From probabilities to the gradient of W, every formula checked.

REQUIRED INPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc
    results/runs/{run}/checkpoints/checkpoint-{segment}.safetensors
    results/vocabularies/{vocabulary}/stream.nc, census.nc

OUTPUTS:

    results/runs/{run}/steps-{steps}/gradients.nc, backprop.nc, backprop.csv
    results/runs/{run}/initial_softmax.nc
"""


rule run_backprop:
    """Backpropagate by hand at the states of a run and compare with autograd."""
    input:
        **reads(checkpoints=run_checkpoints, stream=run_vocabulary("stream.nc")),
    output:
        **sealed(backprop="results/runs/{run}/steps-{steps}/backprop.nc"),
        csv="results/runs/{run}/steps-{steps}/backprop.csv",
    log:
        "logs/run_backprop/{run}/{steps}.log",
    benchmark:
        "logs/run_backprop/{run}/{steps}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    resources:
        runtime=minutes_of("backprop"),
    params:
        code=code("backprop.backprop"),
    shell:
        """
        deadtokens backprop {input.checkpoints:q} \
            --stream {input.stream:q} \
            --output {output.backprop:q} \
            --csv {output.csv:q} \
            --log {log:q}
        """


rule measure_gradients:
    """Hold the gradients of a run against their formulas, recorded and probed."""
    input:
        **reads(
            segments=run_segments,
            checkpoints=run_checkpoints,
            stream=run_vocabulary("stream.nc"),
        ),
    output:
        **sealed(gradients="results/runs/{run}/steps-{steps}/gradients.nc"),
    log:
        "logs/measure_gradients/{run}/{steps}.log",
    benchmark:
        "logs/measure_gradients/{run}/{steps}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    threads: lambda wildcards: study.runs[wildcards.run].threads
    resources:
        runtime=minutes_of("gradients"),
    params:
        code=code("gradients.gradients"),
    shell:
        """
        deadtokens gradients {input.segments:q} \
            --checkpoints {input.checkpoints:q} \
            --stream {input.stream:q} \
            --output {output.gradients:q} \
            --log {log:q}
        """


rule scan_initial_softmax:
    """Measure the softmax and the gradients before training, by the scale of the embedding."""
    input:
        **reads(stream=run_vocabulary("stream.nc"), census=run_vocabulary("census.nc")),
    output:
        **sealed(initial_softmax="results/runs/{run}/initial_softmax.nc"),
    log:
        "logs/scan_initial_softmax/{run}.log",
    benchmark:
        "logs/scan_initial_softmax/{run}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    threads: lambda wildcards: study.runs[wildcards.run].threads
    resources:
        runtime=minutes_of("initial_softmax"),
    params:
        spec=spec,
        code=code("gradients.initial_softmax"),
    shell:
        """
        deadtokens initial_softmax \
            --name {wildcards.run:q} \
            --spec {params.spec:q} \
            --stream {input.stream:q} \
            --census {input.census:q} \
            --output {output.initial_softmax:q} \
            --log {log:q}
        """
