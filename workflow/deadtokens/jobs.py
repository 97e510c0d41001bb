"""Collect time and memory of every rule, from what Snakemake measured of each job."""

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pandas as pd

from deadtokens.arguments import add_output
from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.tables import write_csv

COLUMNS = {"s": "wall time", "cpu_time": "CPU time", "max_rss": "memory"}
HOUR = 3600


def measured_jobs(logs: Path) -> pd.DataFrame:
    """Return one row a job: its rule, wall and CPU time in seconds, and memory in MB.

    Raises
    ------
    UserError
        If no job has been measured.
    """
    paths = sorted(logs.glob("*/**/*.tsv"))
    if not paths:
        raise UserError(f"{logs}: holds no measurement of a job; run snakemake first")
    jobs = [
        pd.read_csv(path, sep="\t", na_values="-").assign(rule=path.relative_to(logs).parts[0])
        for path in paths
    ]
    return pd.concat(jobs, ignore_index=True)[["rule", *COLUMNS]].rename(columns=COLUMNS)


def by_rule(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return one row a rule, the slowest in all first.

    CPU time is that of Snakemake's last look at a job, up to half a minute before its end.
    """
    rules = jobs.groupby("rule").agg(
        jobs=("rule", "size"),
        longest_seconds=("wall time", "max"),
        hours=("wall time", lambda seconds: seconds.sum() / HOUR),
        cpu_hours=("CPU time", lambda seconds: seconds.sum() / HOUR),
        most_megabytes=("memory", "max"),
    )
    return rules.sort_values("hours", ascending=False).reset_index()


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("logs", type=Path, help="folder in which each rule has one")
    add_output(parser, "table to write, as CSV; .html goes beside it")


def main(options: Namespace) -> None:
    """Run the command ``jobs``."""
    table = by_rule(measured_jobs(options.logs))
    with complete_or_absent(options.output) as temporary:
        write_csv(table, temporary)
    with complete_or_absent(options.output.with_suffix(".html")) as temporary:
        text = table.to_html(index=False, float_format="{:.3g}".format, border=0)
        temporary.write_text(f"<meta charset=utf-8>\n{text}\n", encoding="utf-8")
    logging.getLogger(__name__).info("jobs: %d rules", len(table))
