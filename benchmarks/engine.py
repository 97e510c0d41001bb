"""What the workflow costs Snakemake itself, beside the same jobs written plainly.

Both are read, planned (`snakemake -n` in an empty folder), and called when everything is finished
and nothing is to be done. Written plainly means: as many jobs of as many files, as they hang
together here, in rules of literal files and one wildcard; no function, one parameter, one short
command, no log and no benchmark file. That is the engine's floor. Our workflow lets Python collect
no garbage while the graph of jobs is built, so the bare one is measured in this way as well.

Nothing is trained: `finished.py` lets Snakemake finish all jobs, of which each file has its own
name for content; records that the study releases are removed. CPU times, user and system, of
processes that are started in turn.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from study import Row, alternate, lines, load_average, ratios

from deadtokens.cli import reported
from deadtokens.costs.storage import processor_name
from deadtokens.errors import UserError

REPOSITORY = Path(__file__).resolve().parent.parent
STUDY = [REPOSITORY / "config" / name for name in ("study.yaml", "paper.yaml")]
OURS, BARE, UNCOLLECTED = "ours", "bare", "bare, no garbage collected"
MOST = 1.5  # of the bare one's time, with nothing to do
RELEASED = "release_run"
RECORDED = "train_segment"
NO_GARBAGE = "import gc\ngc.disable()\n"

Job = Mapping[str, Any]


@dataclass(frozen=True)
class Workflow:
    """A workflow, and a folder in which all of it is finished.

    Attributes
    ----------
    snakefile : Path
    folder : Path
    configuration : sequence of Path
        Laid over that of the Snakefile.
    """

    snakefile: Path
    folder: Path
    configuration: Sequence[Path] = ()

    def words(self, folder: Path) -> list[str]:
        """Return the arguments of Snakemake that stand for it."""
        profile = REPOSITORY / "profiles" / "default"
        configuration = ["--configfile", *self.configuration] if self.configuration else []
        words = ["--snakefile", self.snakefile, "--directory", folder, *configuration]
        return [*map(str, words), "--workflow-profile", str(profile), "--cores", "2"]

    def finish(self) -> list[Job]:
        """Finish it, and return its jobs in an order in which they can run."""
        self.folder.mkdir()
        jobs = self.folder / "jobs.jsonl"
        script = Path(__file__).with_name("finished.py")
        words = [*self.words(self.folder), "--cores", "100", "--quiet", "all"]
        _run([sys.executable, str(script), str(jobs), *words])
        return [json.loads(line) for line in jobs.read_text(encoding="utf-8").splitlines()]

    def reading(self) -> float:
        """Return the CPU seconds of reading the rules."""
        return self._seconds("--list-rules", folder=self.folder)

    def reading_for_a_job(self) -> float:
        """Return the same of a Snakemake that another one has started for one job."""
        return self._seconds("--list-rules", "--mode", "remote", folder=self.folder)

    def planning(self) -> float:
        """Return the CPU seconds of a dry run where nothing is finished."""
        with TemporaryDirectory() as folder:
            return self._seconds("--dry-run", folder=Path(folder))

    def nothing(self) -> float:
        """Return the CPU seconds of a call that has nothing to do."""
        return self._seconds(folder=self.folder, expected="Nothing to be done")

    def _seconds(self, *options: str, folder: Path, expected: str = "") -> float:
        before = os.times()
        answer = _run([sys.executable, "-m", "snakemake", *self.words(folder), *options])
        after = os.times()
        if expected not in answer:
            raise RuntimeError(f"{self.snakefile} has something to do: {answer[-2000:]}")
        return sum(after[2:4]) - sum(before[2:4])  # of children


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}")
    return done.stdout


def plainly(jobs: Iterable[Job]) -> tuple[list[str], dict[str, str]]:
    """Return rules for jobs that come in an order in which they can run, and where each file is.

    Jobs that differ in their run alone are one rule. Rules that would make files of one pattern
    from different ones make them in folders of their own.
    """
    rules: list[str] = []
    places: dict[str, str] = {}
    variants: dict[tuple[str, ...], list[Sequence[tuple[str, bool]]]] = {}
    for job in jobs:
        run = job["run"] or "\n"  # in no name
        inputs = [(places[file].replace(run, "{run}"), old) for file, old in job["inputs"]]
        outputs = tuple(file.replace(run, "{run}") for file in job["outputs"])
        known = variants.setdefault(outputs, [])
        if inputs not in known:
            known.append(inputs)
            made = [f"{len(known) - 1}/{file}" for file in outputs]
            rules.append(_rule(f"{job['rule']}_{len(rules)}", inputs, made))
        places |= {file: f"{known.index(inputs)}/{file}" for file in job["outputs"]}
    return rules, places


def _rule(name: str, inputs: Sequence[tuple[str, bool]], outputs: Sequence[str]) -> str:
    files = [f"ancient({file!r})" if old else repr(file) for file, old in inputs]
    end = (
        f"output: {', '.join(map(repr, outputs))}\n    params: code='0123456789ab'\n"
        "    shell: 'touch {output}'"
        if outputs
        else "default_target: True\n    localrule: True"
    )
    return f"rule {name}:\n    input: {', '.join(files)}\n    {end}\n"


def released(jobs: Sequence[Job]) -> Iterator[str]:
    """Yield the files that are removed when everything is read from them."""
    runs = {job["run"] for job in jobs if job["rule"] == RELEASED}
    for job in jobs:
        if job["rule"] == RECORDED and job["run"] in runs:
            yield from job["outputs"]


def finished_workflows(
    configuration: Sequence[Path], folder: Path
) -> tuple[dict[str, Workflow], list[Job]]:
    """Finish the workflow and the bare one with its jobs, and return them, and the jobs."""
    ours = Workflow(REPOSITORY / "Snakefile", folder / OURS, configuration)
    jobs = ours.finish()
    rules, places = plainly(jobs)
    snakefiles = {BARE: folder / "Snakefile", UNCOLLECTED: folder / "Snakefile_uncollected"}
    snakefiles[BARE].write_text("\n".join(rules), encoding="utf-8")
    snakefiles[UNCOLLECTED].write_text("\n".join([NO_GARBAGE, *rules]), encoding="utf-8")
    bare = Workflow(snakefiles[BARE], folder / BARE)
    bare.finish()
    for file in released(jobs):
        (ours.folder / file).unlink()
        (bare.folder / places[file]).unlink()
    return {OURS: ours} | {
        name: replace(bare, snakefile=file) for name, file in snakefiles.items()
    }, jobs


def rows(workflows: Mapping[str, Workflow], repeats: int) -> Iterator[Row]:
    """Yield the CPU times of both, measured in turn, and their ratios."""
    for what, measure, most in (
        ("reading the rules", Workflow.reading, None),
        ("reading the rules for one job on a cluster", Workflow.reading_for_a_job, None),
        ("planning, nothing finished", Workflow.planning, None),
        ("nothing to do", Workflow.nothing, MOST),
    ):
        measures = {name: partial(measure, one) for name, one in workflows.items()}
        found = alternate(measures, repeats)
        for name, seconds in found.items():
            yield Row(f"{what}: {name}", seconds, "s")
        for name in (BARE, UNCOLLECTED):
            yield Row(f"  ours / {name}", ratios(found[OURS], found[name]), at_most=most)


def overlay(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options change in the configuration."""
    seeds = {} if options.seeds is None else {"seeds": list(range(options.seeds))}
    record = {} if options.segment is None else {"record": {"segment": options.segment}}
    return seeds | ({"defaults": record} if record else {})


def main(arguments: Sequence[str]) -> None:
    """Measure a study and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=STUDY, help="default: the paper's study"
    )
    parser.add_argument("--seeds", type=int, help="of every experiment that names none")
    parser.add_argument("--segment", type=int, help="length of a segment, in updates")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    if min(options.repeats, options.seeds or 1, options.segment or 1) < 1:
        raise UserError("all numbers must be at least 1")
    print(f"{processor_name()}, {os.cpu_count()} cores; load {load_average()}")
    with TemporaryDirectory() as folder:
        changes = Path(folder, "changes.yaml")
        changes.write_text(yaml.safe_dump(overlay(options)), encoding="utf-8")
        configuration = [*(path.resolve() for path in options.configfile), changes]
        workflows, jobs = finished_workflows(configuration, Path(folder))
        files = sum(len(job["inputs"]) + len(job["outputs"]) for job in jobs)
        title = f"{len(jobs):,} jobs, {files / len(jobs):.1f} files each"
        for line in lines(title, rows(workflows, options.repeats)):
            print(line, flush=True)
    print(f"\nload at the end {load_average()}")


if __name__ == "__main__":
    with reported(log=None):
        main(sys.argv[1:])
