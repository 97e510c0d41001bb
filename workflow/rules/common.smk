"""What all rules share: the study behind the configuration, code fingerprints, seals.

No rule stands here, nor in of_runs.smk, of_recordings.smk, of_models.smk and of_experiments.smk, which have
what the rules of single runs, of recordings, of models and of experiments take; the files of the rules have no
functions.
"""

import os
import re
import sys
from functools import cache
from pathlib import Path

PACKAGE = Path(workflow.basedir, "workflow")
ENVIRONMENT = re.sub("[{}]", r"\g<0>\g<0>", f"{workflow.basedir}/envs/environment.yaml")
SHORT = 40  # letters
SEAL = ".seal.json"  # of deadtokens.seal, which needs more than Snakemake's environment has

sys.path.insert(0, str(PACKAGE))

from deadtokens.environment import (
    prefix_of_jobs,
    search_no_working_folder,
    why_not_submitted,
)
from deadtokens.errors import UserError, refusal_of_the_system
from deadtokens.fingerprint import fingerprint
from deadtokens.matrices.sources import WEIGHTS
from deadtokens.models import short_digest
from deadtokens.sharing import (
    ensure_open,
    ensure_snakemake_is_let_in,
    shuts_out_the_group,
)
from deadtokens.study.claims import claims_of
from deadtokens.study.files import check_folder_of_results, read_configuration
from deadtokens.study.models import models_of
from deadtokens.study.study import Study
from deadtokens.study.targets import check_sources, check_targets
from deadtokens.study.wanted import check_figures

IN_CONDA = "conda" in map(str, workflow.deployment_settings.deployment_method)
ON_CLUSTER = workflow.resource_settings.nodes is not None  # also in a dry run
SUBMITS = workflow.resource_settings.cores is None

search_no_working_folder()
shell.prefix(prefix_of_jobs(PACKAGE, IN_CONDA))
if SUBMITS and (problem := why_not_submitted(PACKAGE, Path.cwd())):
    sys.exit(problem)
try:
    ensure_snakemake_is_let_in()
except UserError as error:
    sys.exit(str(error))
try:
    read_configuration(workflow.configfiles)  # its checks; Snakemake has read them
    check_folder_of_results(Path("results"))
    study = Study(config)
    check_figures(study)
    claims = claims_of(study)
    models = models_of(study)
    check_sources(study, claims.values())
except UserError as error:
    sys.exit(f"The configuration is wrong.\n{error}")
except OSError as error:
    if refusal := refusal_of_the_system(error):
        sys.exit(refusal)
    raise


def ensure_jobs_are_let_in():
    """Refuse, before the first job, what another user closed to those that will run."""
    try:
        ensure_open(
            place for job in workflow.dag.needrun_jobs() for place in written(job)
        )
    except UserError as error:
        sys.exit(str(error))
    if shuts_out_the_group(Path()):
        print(
            f"The group that shares {Path.cwd()} will not be let into what you make: call "
            f"`umask 002` before the next snakemake, and `chmod -R g+rwX {Path.cwd()}` after this one.",
            file=sys.stderr,
        )


def written(job):
    """Yield where a job writes.

    Snakemake puts a new file in the place of an old one, but of a benchmark.
    """
    yield from (Path(file).parent for file in [*job.output, *job.log])
    if job.benchmark:
        yield Path(job.benchmark)


wildcard_constraints:
    corpus="[^/]+",
    vocabulary="[^/]+",
    run="[^/]+",
    recording="[^/]+",
    model="[^/]+",
    matrix="embedding|unembedding|W",
    weights="|".join(map(re.escape, WEIGHTS)),
    experiment="[^/]+",
    segment=r"\d\d\d|[1-9]\d\d\d+",
    steps=r"[1-9]\d*",


def code(*modules):
    """Return the fingerprints of modules of the package, for `params`.

    Where Snakemake runs one job, they are found only if it is a job that has them.
    """

    def fingerprints(wildcards=None):
        return " ".join(fingerprint(f"deadtokens.{one}", PACKAGE) for one in modules)

    return fingerprints() if workflow.is_main_process else fingerprints


def sealed(**files):
    """Return the outputs of a rule whose files others read, each with its seal.

    A seal is small and says what its file is.
    """
    seals = {f"{name}_seal": file + SEAL for name, file in files.items()}
    return {**files, **seals}


def kept_if_finished(**files):
    """Return sealed outputs which, in a cluster's job, are not removed before it runs.

    When the job is tried again it looks itself which of them are finished.
    """
    outputs = sealed(**files)
    if not workflow.remote_exec:
        return outputs
    return {name: update(file) for name, file in outputs.items()}


def one_submission(kind, wildcard):
    """Return a function that names the jobs which go to a cluster together, as rules' `group`.

    Those of a kind that have the same run, recording, model or experiment. The profile says how many of
    a kind that may be (`group-components`), by its name. The engine makes file names of a group's
    name and its rules, so it is short: of a run the digest at its end.
    """

    def name(wildcards):
        value = wildcards.get(wildcard)
        if len(value) > SHORT:
            value = value[-8:] if wildcard == "run" else short_digest(value)
        workflow.parent_groupids[f"{kind}-{value}"] = kind
        return f"{kind}-{value}"

    return name


@cache
def ensure_targets_are_known():
    """Refuse what is asked for by path and the configuration does not have.

    Snakemake knows it only when it looks for inputs, not yet when it reads this file.
    """
    asked = workflow.dag_settings
    preferred = getattr(workflow.scheduling_settings, "prioritytargets", ())
    targets = {*asked.targets, *asked.forcerun, *asked.until, *preferred}
    try:
        check_targets(study, claims.values(), map(os.path.normpath, targets))
    except UserError as error:
        sys.exit(str(error))


def of_known_targets(file):
    """Return an input that, if it is a function, looks at the targets first."""
    if not callable(file):
        return file

    def files(wildcards):
        ensure_targets_are_known()
        return file(wildcards)

    return files


def reads(**files):
    """Return the inputs of a rule that reads sealed files, each a pattern or a function.

    The seals are compared by content. So the files' own times do not count, however large they
    are: what is touched, restored or copied is made again only if it is something else.
    """
    files = {name: of_known_targets(file) for name, file in files.items()}
    seals = {f"{name}_seal": seals_of(file) for name, file in files.items()}
    return {name: ancient(file) for name, file in files.items()} | seals


def seals_of(files):
    """Return the seals of the files that a pattern, a list or an input function names."""
    if callable(files):
        return lambda wildcards: seals_of(files(wildcards))
    return files + SEAL if isinstance(files, str) else [file + SEAL for file in files]
