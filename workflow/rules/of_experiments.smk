"""What rules of experiments take, up to the paper of them all: files, names, digests."""

import ast
import hashlib
import json

from deadtokens.paper.sources import (
    CLOUDS,
    figure_files,
    paper_figures,
    paper_sources,
    recording_sources,
)
from deadtokens.study.claims import claimed_files
from deadtokens.study.figures import ANIMATION, FIGURES, OUTCOME_SOURCES, QUESTIONS
from deadtokens.study.wanted import (
    derived_files,
    drawn_figures,
    drawn_files,
    is_compared,
    lacking_recordings,
)

TEMPLATE = Path(PACKAGE, "paper")
OF_RECORDS = ("keep", "train_again", "machines")  # keys of the configuration


def files_of(source, experiment):
    """Return the derived files of an experiment's own runs, of those whose records give the tensor."""
    return [f"results/{file}" for file in derived_files(study, source, experiment)]


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


def figure_inputs(figure):
    """Return a function that gives the files which a figure of an experiment draws."""
    return lambda wildcards: [
        f"results/{file}"
        for file in drawn_files(study, FIGURES[figure], wildcards.experiment)
    ]


def first_drift(wildcards):
    """Return the drift of an experiment's first run, or recording, which its animation shows."""
    return figure_inputs("path")(wildcards)[0]


def caption(figure):
    """Return a function that gives what a figure's module says of it, for the report.

    `output` keeps Snakemake from comparing it: an edited caption draws nothing anew.
    """
    code = Path(PACKAGE, "deadtokens", "figures", f"{figure}.py").read_bytes()
    text = ast.get_docstring(ast.parse(code))
    return lambda wildcards, output: text


def question_of(figure):
    """Return the question that a figure answers, as the report groups figures."""
    question = FIGURES[figure].question
    return f"{question}. {QUESTIONS[question]}"


def experiment_title(figure):
    """Return a function that gives what stands small above a figure of an experiment."""

    def title(wildcards):
        name = wildcards.experiment
        lacking = lacking_recordings(study, FIGURES[figure], name)
        absent = (
            [f"what it shows cannot be had of: {', '.join(lacking)}"] if lacking else []
        )
        return "; ".join([study.experiments[name].title, *absent])

    return title


def claimed_results(wildcards):
    """Return the derived files of which claims speak."""
    return [f"results/{file}" for file in claimed_files(study, claims.values())]


def claims_digest():
    """Return what changes with the claims, and not with comments beside them."""
    return short_digest(
        {name: claim.model_dump(mode="json") for name, claim in claims.items()}
    )


def paper_inputs(wildcards):
    """Return the derived files that the paper reads, and those behind the figures that it shows."""
    sources = [*paper_sources(study), *recording_sources(study), *censuses(study)]
    return [f"results/{file}" for file in sources]


def paper_pictures():
    """Return the figures that the paper shows."""
    return [f"results/{file}" for file in paper_figures(study)]


def codes_of_paper_figures():
    """Return the fingerprints of the figures that the paper shows: they stand for the pictures."""
    shown = {
        figure for name in study.experiments for figure in figure_files(study, name)
    } | ({CLOUDS} if models else set())
    return code(*(f"figures.{figure}" for figure in sorted(shown)))


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


def whole_study(wildcards):
    """Return the configuration as text, for what is of all experiments together.

    Without the keys that change no number: where records are kept makes nothing anew. In the
    order of the configuration, which is that of the paper.
    """
    counted = {key: value for key, value in config.items() if key not in OF_RECORDS}
    return json.dumps(counted)


def all_outcomes():
    """Return the outcomes of every experiment whose runs are compared."""
    return [
        f"results/experiments/{name}/{file}"
        for name in study.experiments
        if is_compared(study, name)
        for file in ("outcomes.nc", "outcomes.csv", "effects.csv")
    ]


def all_figures():
    """Return the figures of every experiment, as PNG: those asked for that it can have."""
    return [
        f"results/figures/{name}/{figure}.png"
        for name in study.experiments
        for figure in drawn_figures(study, name)
    ]


def all_animations():
    """Return the animation of every experiment that has it drawn."""
    return [
        f"results/figures/{name}/drift.gif"
        for name, experiment in study.experiments.items()
        if experiment.draws(ANIMATION)
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
