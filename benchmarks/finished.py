"""Finish a workflow without its work: python benchmarks/finished.py JOBS [snakemake's arguments].

Snakemake goes through all jobs as with `--touch`, and keeps of each what it keeps of a finished
one. In place of being touched, each output is written: its own name. JOBS gets a line of JSON for
each job, in the order in which they ran.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from snakemake.cli import main
from snakemake.executors.touch import Executor
from snakemake.jobs import GroupJob, Job
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo


def finish(executor: Executor, submitted: Job | GroupJob, note: Callable[[dict], None]) -> None:
    """Write what a job, or each of a group, would write."""
    for job in submitted if submitted.is_group() else [submitted]:
        for path in map(Path, job.output):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{path}\n", encoding="utf-8")
        note(described(job))
    information = SubmittedJobInfo(job=submitted)
    executor.report_job_submission(information)
    executor.report_job_success(information)


def described(job: Job) -> dict:
    """Return a job's rule, its run if it is of one, its files, and which inputs are ancient."""
    return {
        "rule": job.rule.name,
        "run": job.wildcards_dict.get("run"),
        "inputs": [(str(file), file.is_ancient) for file in job.input],
        "outputs": list(map(str, job.output)),
    }


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as jobs:
        Executor.run_job = lambda executor, submitted: finish(
            executor, submitted, lambda job: print(json.dumps(job), file=jobs)
        )
        main(["--touch", *sys.argv[2:]])
