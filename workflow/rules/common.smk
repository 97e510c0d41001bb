"""What the rules share: the study behind the configuration, paths of runs, code fingerprints.

No rule stands here; the other files have no functions.
"""

import ast
import hashlib
import json
import re
import sys
from pathlib import Path

PACKAGE = Path(workflow.basedir, "workflow")
ENVIRONMENT = re.sub("[{}]", r"\g<0>\g<0>", f"{workflow.basedir}/envs/environment.yaml")
TEMPLATE = Path(PACKAGE, "paper")
SEAL = ".seal.json"  # of deadtokens.seal, which needs more than Snakemake's environment has

sys.path.insert(0, str(PACKAGE))

from deadtokens.environment import (
    has_nvidia_gpu,
    prefix_of_jobs,
    search_no_working_folder,
)
from deadtokens.errors import UserError
from deadtokens.fingerprint import fingerprint
from deadtokens.models import short_digest
from deadtokens.paper.sources import figure_files, paper_figures, paper_sources
from deadtokens.study.claims import claimed_files, claims_of
from deadtokens.study.estimates import predicted_minutes
from deadtokens.study.figures import ANIMATION, FIGURES, OUTCOME_SOURCES, QUESTIONS
from deadtokens.study.files import read_configuration
from deadtokens.study.study import Study
from deadtokens.study.needed import read_from_records
from deadtokens.study.wanted import (
    check_figures,
    derived_files,
    drawn_figures,
    is_compared,
)

IN_CONDA = "conda" in map(str, workflow.deployment_settings.deployment_method)
ON_CLUSTER = workflow.resource_settings.cores is None

search_no_working_folder()
shell.prefix(prefix_of_jobs(PACKAGE, IN_CONDA))
try:
    read_configuration(workflow.configfiles)  # its checks; Snakemake has read them
    study = Study(config)
    check_figures(study)
    claims = claims_of(study)
except UserError as error:
    sys.exit(f"The configuration is wrong.\n{error}")

RECEIPT = "results/runs/{run}/released.json"
READ_FROM_RECORDS = read_from_records(study, claims.values())
NAMED = 5  # runs that a sentence names


wildcard_constraints:
    corpus="[^/]+",
    vocabulary="[^/]+",
    run="[^/]+",
    experiment="[^/]+",
    segment=r"\d+",
    steps=r"\d+",


def code(module):
    """Return the fingerprint of a module of the package, for `params`."""
    return fingerprint(f"deadtokens.{module}", PACKAGE)


def sealed(**files):
    """Return the outputs of a rule whose files others read, each with its seal.

    A seal is small and says what its file is.
    """
    seals = {f"{name}_seal": file + SEAL for name, file in files.items()}
    return {**files, **seals}


def reads(**files):
    """Return the inputs of a rule that reads sealed files, each a pattern or a function.

    The seals are compared by content. So the files' own times do not count, however large they
    are: what is touched, restored or copied is made again only if it is something else.
    """
    seals = {f"{name}_seal": seals_of(file) for name, file in files.items()}
    return {name: ancient(file) for name, file in files.items()} | seals


def seals_of(files):
    """Return the seals of the files that a pattern, a list or an input function names."""
    if callable(files):
        return lambda wildcards: seals_of(files(wildcards))
    return files + SEAL if isinstance(files, str) else [file + SEAL for file in files]


def corpus_arguments(wildcards, output):
    """Return the command line's words for where a corpus comes from.

    `output` keeps Snakemake from comparing them: wherever the text lies, its digest is in the
    corpus's name.
    """
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


def all_records():
    """Return every segment of every run, or the receipt of a run whose record is released."""
    return sorted(
        {
            path
            for member in study.members
            for path in (
                [RECEIPT.format(run=member.run)]
                if study.releases and member.run in READ_FROM_RECORDS
                else segments(member.run, member.steps)
            )
        }
    )


def readers(wildcards):
    """Return what the study reads from the record of a run."""
    return [f"results/{file}" for file in READ_FROM_RECORDS[wildcards.run]]


def record(wildcards):
    """Return the segments and checkpoints of a run, as far as the study goes."""
    updates = max(one.steps for one in study.members if one.run == wildcards.run)
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


def files_of(source, experiment):
    """Return the derived files of an experiment, of the runs whose records give the tensor."""
    return [f"results/{file}" for file in derived_files(study, source, experiment)]


def figure_inputs(figure):
    """Return a function that gives the files which a figure of an experiment draws."""
    return lambda wildcards: files_of(FIGURES[figure], wildcards.experiment)


def outcome_inputs(wildcards):
    """Return the files of all runs of an experiment that say what the runs come to."""
    return [
        file
        for source in OUTCOME_SOURCES
        for file in files_of(source, wildcards.experiment)
    ]


def folders(wildcards, input):
    """Return the folders of the files that a job reads, each once.

    All of them stand in one line for the shell, which takes 128 KiB: some thousand runs.
    """
    return list(dict.fromkeys(str(Path(file).parent) for file in input.files))


def factors(wildcards):
    """Return the command line's words for what tells an experiment's runs apart."""
    factors = study.experiments[wildcards.experiment].factors
    return ["--factors", *factors] if factors else []


def called(wildcards):
    """Return the command line's words for what an experiment's vocabularies are called.

    Only if they differ: elsewhere none is named, and a new name draws nothing anew.
    """
    members = study.experiments[wildcards.experiment].members
    found = dict.fromkeys(study.runs[member.run].vocabulary for member in members)
    if len(found) < 2:
        return []
    return [f"--called={identity}={study.called[identity]}" for identity in found]


def whole_study(wildcards):
    """Return the whole configuration as text, for what is of all experiments together."""
    return json.dumps(config, sort_keys=True)


def claims_digest():
    """Return what changes with the claims, and not with comments beside them."""
    return short_digest(
        {name: claim.model_dump(mode="json") for name, claim in claims.items()}
    )


def claimed_results(wildcards):
    """Return the derived files of which claims speak."""
    return [f"results/{file}" for file in claimed_files(study, claims.values())]


def paper_inputs(wildcards):
    """Return the derived files that the paper reads, and those behind the figures that it shows."""
    return [f"results/{file}" for file in paper_sources(study)]


def paper_pictures():
    """Return the figures that the paper shows."""
    return [f"results/{file}" for file in paper_figures(study)]


def codes_of_paper_figures():
    """Return the fingerprints of the figures that the paper shows: they stand for the pictures."""
    shown = {
        figure for name in study.experiments for figure in figure_files(study, name)
    }
    return " ".join(code(f"figures.{figure}") for figure in sorted(shown))


def template_folder(wildcards, output):
    """Return where the paper's template lies.

    `output` keeps Snakemake from comparing it: its content is.
    """
    return str(TEMPLATE)


def template_digest():
    """Return what changes with the paper's template."""
    digest = hashlib.sha256()
    for path in sorted(TEMPLATE.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def question_of(figure):
    """Return the question that a figure answers, as the report groups figures."""
    question = FIGURES[figure].question
    return f"{question}. {QUESTIONS[question]}"


def first_drift(wildcards):
    """Return the drift of an experiment's first run, which its animation shows."""
    return figure_inputs("path")(wildcards)[0]


def caption(figure):
    """Return a function that gives what a figure's module says of it, for the report.

    `output` keeps Snakemake from comparing it: an edited caption draws nothing anew.
    """
    code = Path(PACKAGE, "deadtokens", "figures", f"{figure}.py").read_bytes()
    text = ast.get_docstring(ast.parse(code))
    return lambda wildcards, output: text


def all_animations():
    """Return the animation of every experiment that has it drawn."""
    return [
        f"results/figures/{name}/drift.gif"
        for name, experiment in study.experiments.items()
        if experiment.draws(ANIMATION)
    ]


def experiment_title(wildcards):
    """Return what stands small above an experiment's figures."""
    return study.experiments[wildcards.experiment].title


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
    return int(
        device == "cuda" or (device == "auto" and (ON_CLUSTER or has_nvidia_gpu()))
    )


def minutes_for(wildcards):
    """Return the time limit of a segment's training, where there are limits."""
    return predicted_minutes(study.runs[wildcards.run], study.tokens(wildcards.run))


def all_cores(wildcards):
    """Return so many threads that no other job runs beside a measurement."""
    return 2 if ON_CLUSTER else workflow.resource_settings.cores


def all_figures():
    """Return the figures of every experiment, as PNG: those asked for that it can have."""
    return [
        f"results/figures/{name}/{figure}.png"
        for name in study.experiments
        for figure in drawn_figures(study, name)
    ]


def all_outcomes():
    """Return the outcomes of every experiment whose runs are compared."""
    return [
        f"results/experiments/{name}/{file}"
        for name in study.experiments
        if is_compared(study, name)
        for file in ("outcomes.nc", "outcomes.csv", "effects.csv")
    ]


def print_figures():
    """Name the figures that this call made or found finished."""
    present = {file for job in workflow.dag.jobs for file in job.output}
    figures = [path for path in all_figures() if path in present]
    if figures:
        print(
            "The figures, each with a .pdf and the numbers it draws as .csv beside it:"
        )
    for path in figures:
        print(f"  {path}")
