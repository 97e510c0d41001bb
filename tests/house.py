"""Runs the real workflow on a tiny configuration."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from deadtokens.study.figures import ANIMATION, FIGURES
from deadtokens.study.study import Study

REPOSITORY = Path(__file__).parent.parent
PARTS = ("Snakefile", "workflow", "config", "profiles", "envs")

TEXT = "".join(f"the {noun} was {word}.\n" for noun in "abcdefgh" for word in ("here", "there"))

TINY = {
    "corpora": {"tale": {"path": "tale.txt"}, "words": {"path": "words.txt"}},
    "vocabularies": {
        "small": {
            "tokenizer_corpora": ["tale", "words"],
            "training_corpus": "tale",
            "size": 290,
        }
    },
    "defaults": {
        "vocabulary": "small",
        "steps": 6,
        "batch": 2,
        "context": 8,
        "width": 8,
        "layers": 1,
        "lr": 0.01,
        "device": "cpu",
        "record": {"segment": 3, "pathways": True},
    },
    "experiments": {"regimes": {"vary": {"precision": ["pure-bf16", "fp32"]}, "seeds": [0]}},
}

# How many jobs of each rule draw, compare and analyse the experiment's runs, and write them up. Two
# regimes are no grid, and no line of three values.
OF_OTHER_SHAPES = ("factorial", "sweep", "remedies")
OF_REGIMES = [figure for figure in FIGURES if figure not in OF_OTHER_SHAPES]
DRAWN = {f"draw_{figure}": 1 for figure in (*OF_REGIMES, ANIMATION)}
OF_THE_STUDY = {"evaluate_claims": 1, "build_paper": 1, "collect_jobs": 1}
COMPARED = {"compute_outcomes": 1, **OF_THE_STUDY}
NO_CLAIMS = {"claims": "none.yaml"}  # of configurations, so that nothing is derived for claims
ANALYSED = {
    "collect_scalars": 2,
    "measure_freezing": 2,
    "measure_sharpening": 2,
    "measure_drift": 2,
    "follow_indicators": 2,
    "run_audit": 2,
    "measure_gradients": 2,
    "compute_attribution": 2,
    "explain_stillness": 2,
    "run_backprop": 2,
}


@dataclass
class House:
    """A copy of the repository and, apart from it, the folder in which it works."""

    code: Path
    work: Path

    def snakemake(
        self,
        *arguments: str,
        config: dict | None = None,
        before: Sequence[str] = (),
        **environment: str,
    ) -> subprocess.CompletedProcess:
        """Run Snakemake on the tiny configuration; return what it printed, in `stdout`.

        Words `before` the command may be a program that runs it otherwise.
        """
        (self.work / "tiny.yaml").write_text(yaml.safe_dump(config or TINY))
        command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", self.code / "Snakefile"]
        options = ["--cores", "2", "--configfile", "tiny.yaml", *arguments]
        return subprocess.run(
            [*before, *map(str, command), *options],
            cwd=self.work,
            env=os.environ | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def would_run(self, *arguments: str, config: dict | None = None) -> dict[str, int]:
        """Return how many jobs of each rule a dry run announces, `all` left out."""
        answer = self.snakemake("--dry-run", "--quiet", "host", *arguments, config=config)
        assert answer.returncode == 0, answer.stdout
        table = answer.stdout.partition("Job stats:")[2].partition("total")[0]
        jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}
        jobs.pop("all", None)
        if not jobs:
            assert "Nothing to be done" in answer.stdout or "all" in answer.stdout, answer.stdout
        return jobs

    def study(self, config: dict | None = None) -> Study:
        """Return the study that a configuration asks for here."""
        with contextlib.chdir(self.work):
            return Study(config or TINY)

    def run(self, precision: str, config: dict | None = None) -> Path:
        """Return the folder of the run in a precision regime."""
        runs = self.study(config).runs
        (run,) = (name for name, spec in runs.items() if spec.precision == precision)
        return self.work / "results" / "runs" / run

    def copy(self, folder: Path, copy_function: Callable = shutil.copy2) -> "House":
        """Return a copy in a folder that is made, by default with the files' times."""
        shutil.copytree(self.code.parent, folder, copy_function=copy_function)
        return House(folder / "code", folder / "work")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a piece of code, once."""
        path = self.code / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))


def build_house(folder: Path) -> House:
    """Copy the repository's code into `folder`, with two small texts beside it."""
    code, work = folder / "code", folder / "work"
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, code / part, ignore=ignored)
        else:
            code.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, code / part)
    work.mkdir()
    (work / "tale.txt").write_text(TEXT)
    (work / NO_CLAIMS["claims"]).write_text("{}")
    (work / "words.txt").write_text("แมว\nหมา\nบ้าน\nแมวหมา\nบ้านแมว\n" * 5)
    return House(code, work)
