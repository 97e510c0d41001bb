"""How dead tokens drift and freeze: the table of contents of the workflow.

The data's way: corpus -> vocabulary and census -> trained and recorded runs, recordings of other trainings, other models ->
freezing, drift, accounting, gradients -> comparison -> figures, claims -> paper.
Each step is a file in workflow/rules; what it computes is in the package workflow/deadtokens.
"""

import gc
from pathlib import Path

# Building the graph of jobs leaves no garbage, and each collection would visit all of the graph.
gc.disable()


configfile: Path(workflow.basedir, "config/config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/of_runs.smk"
include: "workflow/rules/of_recordings.smk"
include: "workflow/rules/of_models.smk"
include: "workflow/rules/of_experiments.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/freezing.smk"
include: "workflow/rules/drift.smk"
include: "workflow/rules/accounting.smk"
include: "workflow/rules/gradients.smk"
include: "workflow/rules/recorded.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/costs.smk"
include: "workflow/rules/comparison.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/paper.smk"


report: "workflow/report/workflow.rst"


rule all:
    """Every record, every comparison, every figure, the claims and the paper."""
    default_target: True
    input:
        all_records,
        all_outcomes(),
        all_figures(),
        all_animations(),
        all_matrices(),
        "results/claims/claims.csv",
        "results/paper/paper.pdf",
        "results/jobs/jobs.csv",
    localrule: True


onstart:
    ensure_jobs_are_let_in()
    gc.freeze()
    gc.enable()


onsuccess:
    print_figures()
