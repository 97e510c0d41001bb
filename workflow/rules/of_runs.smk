"""What rules of texts and runs take: files, arguments, priorities; and what releases a record."""

from functools import cache

from deadtokens.environment import count_gpus
from deadtokens.study.estimates import (
    analysis_seconds,
    minutes_on_slow_core,
    predicted_minutes,
)
from deadtokens.study.needed import read_from_records

RECEIPT = "results/runs/{run}/released.json"
NAMED = 5  # runs that a sentence names
GPUS = count_gpus()

if not ON_CLUSTER and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", max(1, GPUS) * study.runs_per_gpu)


def corpus_arguments(wildcards, output):
    """Return the command line's words for where a corpus comes from.

    `output` keeps Snakemake from comparing them: wherever the text lies, its digest is in the
    corpus's name.
    """
    ensure_targets_are_known()
    corpus = study.corpora[wildcards.corpus]
    if corpus.source is not None:
        return [f"--source={corpus.source}"]
    return [f"--path={corpus.path}", f"--sha256={corpus.sha256}"]


def tokenizer_texts(wildcards):
    """Return the texts on which a vocabulary is trained."""
    vocabulary = study.vocabularies[wildcards.vocabulary]
    return [
        f"results/corpora/{corpus}/text.txt" for corpus in vocabulary.tokenizer_corpora
    ]


def training_text(wildcards):
    """Return the text that the model sees through a vocabulary."""
    vocabulary = study.vocabularies[wildcards.vocabulary]
    return f"results/corpora/{vocabulary.training_corpus}/text.txt"


def run_vocabulary(file):
    """Return a function that gives a file of a run's vocabulary."""

    def path(wildcards):
        return f"results/vocabularies/{study.runs[wildcards.run].vocabulary}/{file}"

    return path


def previous_checkpoint(wildcards):
    """Return the checkpoint that a segment continues from; the first one has none."""
    segment = int(wildcards.segment)
    if segment == 0:
        return []
    return f"results/runs/{wildcards.run}/checkpoints/checkpoint-{segment - 1:03d}.safetensors"


def segments(run, steps):
    """Return the files that hold the first `steps` updates of a run."""
    return [
        f"results/runs/{run}/trajectory/segment-{segment:03d}.nc"
        for segment in study.segments(run, int(steps))
    ]


def run_segments(wildcards):
    """Return the segments behind a derived file."""
    return segments(wildcards.run, wildcards.steps)


def checkpoints(run, steps):
    """Return the checkpoints of the first `steps` updates of a run."""
    return [
        f"results/runs/{run}/checkpoints/checkpoint-{segment:03d}.safetensors"
        for segment in study.segments(run, int(steps))
    ]


def run_checkpoints(wildcards):
    """Return the checkpoints behind a derived file."""
    return checkpoints(wildcards.run, wildcards.steps)


@cache
def read_from():
    """Return what the study reads from the record of each run."""
    return read_from_records(study, claims.values())


def all_records(wildcards):
    """Return every segment of every run, or the receipt of a run whose record is released."""
    return sorted(
        {
            path
            for member in study.members
            for path in (
                [RECEIPT.format(run=member.run)]
                if study.releases and member.run in read_from()
                else segments(member.run, member.steps)
            )
        }
    )


def readers(wildcards):
    """Return what the study reads from the record of a run."""
    return [f"results/{file}" for file in read_from()[wildcards.run]]


def record(wildcards):
    """Return the segments and checkpoints of a run, as far as the study goes."""
    updates = study.updates[wildcards.run]
    return segments(wildcards.run, updates) + checkpoints(wildcards.run, updates)


def priority_of_training(wildcards):
    """Return the priority of training a segment: below all else, of a run's first one below others.

    So what reads a record goes before the next training, and a run that has begun before a new one:
    where records are released there are never more of them at once than jobs.

    Snakemake asks for it when it knows which jobs will run, and of these alone.
    """
    if is_released(wildcards.run) and not study.train_again:
        sys.exit(refusal_to_train_again())
    return -2 if int(wildcards.segment) == 0 else -1


def is_released(run):
    """Return whether the record of a run was removed as a whole, as its receipt says."""
    first, *_ = segments(run, study.runs[run].record.segment)
    return Path(RECEIPT.format(run=run)).exists() and not Path(first).exists()


def refusal_to_train_again():
    """Return the sentence on released runs that something asks for."""
    jobs = [
        job for job in workflow.dag.needrun_jobs() if job.rule.name == "train_segment"
    ]
    runs = sorted({run for job in jobs if is_released(run := job.wildcards.run)})
    others = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
    return (
        "What is to be made reads records that were released (keep: derived); to train their runs "
        "again, from the start, add --config train_again=true. The runs are "
        f"{', '.join(runs[:NAMED])}{others}."
    )


def spec(wildcards):
    """Return all that determines the numbers of a run, as text."""
    return text_of_spec(wildcards.run)


@cache
def text_of_spec(run):
    """Return the same of a run by name: every segment of it has the same."""
    return study.runs[run].json_text()


def elsewhere(wildcards, output):
    """Return the switch that lets a run go on on another machine, if the study allows it.

    `output` keeps Snakemake from comparing it: it determines no bit of a run on one machine.
    """
    return ["--elsewhere"] if study.elsewhere else []


def gpus_for(wildcards):
    """Return how many GPUs a training asks for: one where it will use one, else none.

    Of a cluster's nodes the machine that submits knows nothing: `auto` asks for one there.
    """
    device = study.runs[wildcards.run].device
    return int(device == "cuda" or (device == "auto" and (ON_CLUSTER or GPUS > 0)))


def minutes_for(wildcards):
    """Return the time limit of a segment's training, where there are limits."""
    return predicted_minutes(study.runs[wildcards.run], study.tokens(wildcards.run))


def minutes_of(analysis):
    """Return a function that gives the time limit of an analysis of a run."""

    def minutes(wildcards, attempt):
        run, updates = wildcards.run, int(wildcards.get("steps", 0))
        size = study.runs[run], study.tokens(run), updates
        return attempt * minutes_on_slow_core(analysis_seconds(analysis, *size))

    return minutes


def all_cores(wildcards):
    """Return so many threads that no other job runs beside a measurement."""
    return 2 if ON_CLUSTER else workflow.resource_settings.cores
