"""Runs: trained and recorded segment by segment, a checkpoint after each.

REQUIRED INPUTS:

    results/vocabularies/{vocabulary}/stream.nc, census.nc

OUTPUTS:

    results/runs/{run}/trajectory/segment-{segment}.nc
    results/runs/{run}/checkpoints/checkpoint-{segment}.safetensors
    results/runs/{run}/steps-{steps}/scalars.nc
    results/runs/{run}/released.json, where records are released
"""


rule train_segment:
    """Train and record one segment of a run."""
    input:
        **reads(
            stream=run_vocabulary("stream.nc"),
            census=run_vocabulary("census.nc"),
            previous=previous_checkpoint,
        ),
    output:
        **kept_if_finished(
            trajectory="results/runs/{run}/trajectory/segment-{segment}.nc",
            checkpoint="results/runs/{run}/checkpoints/checkpoint-{segment}.safetensors",
        ),
    log:
        "logs/train_segment/{run}/{segment}.log",
    benchmark:
        "logs/train_segment/{run}/{segment}.tsv"
    priority: priority_of_training
    group:
        one_submission("training", "run")
    conda:
        ENVIRONMENT
    threads: lambda wildcards: study.runs[wildcards.run].threads
    resources:
        gpu=gpus_for,
        runtime=minutes_for,
    params:
        spec=spec,
        previous=lambda wildcards, input: (
            ["--previous", input.previous] if input.previous else []
        ),
        elsewhere=elsewhere,
        code=code("training.segment"),
    shell:
        """
        deadtokens train \
            --name {wildcards.run:q} \
            --spec {params.spec:q} \
            --segment {wildcards.segment} \
            --stream {input.stream:q} \
            --census {input.census:q} \
            {params.previous:q} \
            --trajectory {output.trajectory:q} \
            --checkpoint {output.checkpoint:q} \
            {params.elsewhere} \
            --code {params.code} \
            --log {log:q}
        """


rule collect_scalars:
    """Collect loss and learning rate of a run."""
    input:
        **reads(segments=run_segments),
    output:
        **sealed(scalars="results/runs/{run}/steps-{steps}/scalars.nc"),
    log:
        "logs/collect_scalars/{run}/{steps}.log",
    benchmark:
        "logs/collect_scalars/{run}/{steps}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    resources:
        runtime=minutes_of("scalars"),
    params:
        code=code("trajectory.scalars"),
    shell:
        """
        deadtokens scalars {input.segments:q} --output {output.scalars:q} --log {log:q}
        """


rule release_run:
    """Remove the record of a run once everything that is read from it is sealed."""
    input:
        **reads(derived=readers),
    output:
        update("results/runs/{run}/released.json"),
    log:
        "logs/release_run/{run}.log",
    benchmark:
        "logs/release_run/{run}.tsv"
    group:
        one_submission("analyses", "run")
    conda:
        ENVIRONMENT
    params:
        record=record,
        code=code("trajectory.release"),
    shell:
        """
        deadtokens release {params.record:q} \
            --derived {input.derived:q} \
            --output {output:q} \
            --log {log:q}
        """
