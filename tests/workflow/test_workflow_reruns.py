"""What the workflow would do, and what makes it do something anew: dry runs."""

import copy
import os
import random
import re
import shutil
import time
from importlib import import_module

import pytest
from house import ANALYSED, COMPARED, DRAWN, NO_CLAIMS, OF_OTHER_SHAPES, OF_REGIMES, TINY

from deadtokens.seal import ENDING, seal
from deadtokens.study.figures import FIGURES, OUTCOME_SOURCES, QUESTIONS
from deadtokens.study.wanted import derived_files

OF_FREEZING = (
    *("frozen", "still", "displacement", "phases", "survival", "forecast", "ulps", "strata"),
)
OF_GRADIENTS = (
    *("audit", "shares", "ages", "causes"),
    *("firststep", "pathways", "second_moment", "prediction"),
)
OF_OUTCOMES = ("outcomes", "effects", "walls")
# Of the first run alone, or of none.
NOT_BY_SEGMENTS_OF_THE_SECOND = {
    "draw_census", "draw_initial_softmax", "draw_storage", "draw_tensors", "draw_animation",
}  # fmt: skip


@pytest.mark.parametrize(
    ("machines", "arguments", "at_once"),
    [({}, (), 2), ({"runs_per_gpu": 3}, (), 6), ({"runs_per_gpu": 3}, ("--resources", "gpu=1"), 1)],
)
def test_no_more_trainings_at_once_than_gpus_take(house, machines, arguments, at_once):
    """On a machine of two; each training asks for one, and Snakemake counts them."""
    house.edit("workflow/rules/of_runs.smk", "GPUS = count_gpus()", "GPUS = 2")
    text = next(house.work.glob("results/corpora/*/text.txt")).relative_to(house.work)
    answer = house.snakemake(
        *("--force", "--quiet", "host", *arguments, "--", str(text)),
        config=TINY | {"machines": machines},
    )
    assert answer.returncode == 0, answer.stdout
    assert f'Provided resources: gpu=Resource("gpu", {at_once})\n' in answer.stdout


def test_a_finished_house_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake("--dry-run").stdout


def test_an_edit_reruns_what_follows_from_it(house):
    """Three edits with nothing in common, then one of the update rule, two imports deep."""
    package = "workflow/deadtokens"
    figure = house.code / package / "figures" / "path.py"
    figure.write_text(figure.read_text() + "\n\nUNUSED = 1\n")
    house.edit(f"{package}/freezing/moves.py", "QUANTILES = (0.05,", "QUANTILES = (0.06,")
    house.edit(
        f"{package}/attribution/terms.py",
        "displacement[i] = np.float64(after[i]) - before[i]",
        "displacement[i] = np.float64(after[i]) - 2 * before[i]",
    )
    assert house.would_run() == {
        "measure_freezing": 2,
        "compute_attribution": 2,
        **COMPARED,
        **{
            f"draw_{figure}": 1 for figure in ("path", *OF_FREEZING, "shares", "ages", *OF_OUTCOMES)
        },
    }
    rule = "W.mul_(1 - self.lr * self.hyper.weight_decay)"
    house.edit(f"{package}/run/update.py", rule, rule.replace("decay)", "decay * 2)"))
    assert house.would_run() == {
        "train_segment": 4,
        **ANALYSED,
        **COMPARED,
        "measure_storage": 1,
        "measure_tensors": 1,
        **{job: 1 for job in DRAWN if job not in {"draw_census", "draw_initial_softmax"}},
    }


# Bytes: less than any file that a rule reads, more than its seal.
ALL_ARE_LARGE = ("--max-checksum-file-size", "200")


def files_of(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_the_limit_is_below_every_file_that_is_read(finished):
    """So that the tests below show what holds for files of any size."""
    seals = [path for path in files_of(finished.work / "results") if path.name.endswith(ENDING)]
    assert len(seals) > 20
    assert all(path.stat().st_size < 200 for path in seals)
    assert all(
        path.with_name(path.name.removesuffix(ENDING)).stat().st_size > 200 for path in seals
    )


def test_comments_touches_and_a_copy_elsewhere_rerun_nothing(finished, tmp_path):
    house = finished.copy(tmp_path / "elsewhere", copy_function=shutil.copy)
    for path in (house.code / "workflow" / "deadtokens").rglob("*.py"):
        text = path.read_text()
        first, rest = text.split("\n", 1) if text else ("", "")
        path.write_text("# a comment\n" + first.replace('"""', '"""Other words. ', 1) + "\n" + rest)
    assert house.would_run(*ALL_ARE_LARGE) == {}
    paths = [*files_of(house.code), *files_of(house.work)]
    random.Random(0).shuffle(paths)
    now = time.time() + 10
    for path in paths:
        os.utime(path, (now, now))
        now += 0.01
    assert house.would_run(*ALL_ARE_LARGE) == {}
    shutil.rmtree(house.work / "logs")
    assert house.would_run(*ALL_ARE_LARGE) == {}


# Sealed anew one after the other, the later ones behind the earlier: what then reruns.
RERUN_OF = {
    ("steps-6/freezing.nc", "steps-6/audit.json"): {
        **COMPARED,
        **{f"draw_{figure}": 1 for figure in (*OF_FREEZING, "audit", *OF_OUTCOMES)},
    },
    ("trajectory/segment-001.nc",): {
        **dict.fromkeys(ANALYSED.keys() - {"run_backprop"}, 1),
        **COMPARED,
        **{
            job: 1
            for job in DRAWN
            if job not in {*NOT_BY_SEGMENTS_OF_THE_SECOND, "draw_gradient_flow"}
        },
    },
    ("checkpoints/checkpoint-000.safetensors",): {
        "train_segment": 1,
        **dict.fromkeys(ANALYSED, 1),
        **COMPARED,
        **{job: 1 for job in DRAWN if job not in NOT_BY_SEGMENTS_OF_THE_SECOND},
    },
}


def test_what_follows_from_a_file_reruns_when_it_is_another(house):
    """Negative control of the test above."""
    run = house.run("fp32")
    for file in sum(RERUN_OF, ()):
        (run / file).write_bytes((run / file).read_bytes() + b" ")
    assert house.would_run(*ALL_ARE_LARGE) == {}  # damaged: whoever reads it will say so
    for files, expected in RERUN_OF.items():
        for file in files:
            seal(run / file)
        assert house.would_run(*ALL_ARE_LARGE) == expected


def test_a_renamed_experiment_trains_nothing(finished):
    renamed = copy.deepcopy(TINY)
    renamed["experiments"] = {"other": TINY["experiments"]["regimes"]}
    renamed["vocabularies"] = {"little": TINY["vocabularies"]["small"]}
    renamed["defaults"] = TINY["defaults"] | {"vocabulary": "little"}
    assert finished.would_run(config=renamed) == COMPARED | DRAWN


def test_figures_are_those_that_the_record_gives_and_the_experiment_names(finished):
    config = copy.deepcopy(TINY)
    config["defaults"] |= {"precision": "fp32", "record": {"segment": 3}}
    only_w = {"set": {"record.tensors": ["W"]}}
    config["experiments"] = {
        "gradients": {"set": {"record.tensors": ["grad"]}},
        "weights": only_w,
        "two": only_w | {"figures": ["frozen", "animation"]},
        "regimes": {"figures": []},
    }
    jobs = finished.would_run(config=config | NO_CLAIMS)
    assert {job: number for job, number in jobs.items() if job.startswith("draw_")} == {
        f"draw_{figure}": 1 + (figure not in OF_GRADIENTS) + (figure in {"frozen", "animation"})
        for figure in (*FIGURES, "animation")
        if figure not in (*OF_OTHER_SHAPES, "walls")  # of one setting there is none
    }
    assert (jobs["measure_freezing"], jobs["run_audit"], jobs["run_backprop"]) == (2, 1, 2)
    assert jobs["compute_outcomes"] == 2  # where the effects are drawn


LONGEST_WORD = 131_072  # bytes of one argument that Linux hands to a program, here to the shell


def test_an_experiment_of_many_runs_fits_into_a_line_for_the_shell(finished):
    config = copy.deepcopy(TINY)
    cells = ["mixed-bf16", "mixed-bf16-weights", "bf16-moments", "mixed"]
    config["experiments"] = {
        "many": {
            "vary": {"precision": cells},
            "factors": ["weights", "moments"],
            "seeds": list(range(100)),
        }
    }
    study = finished.study(config)
    files = [path for source in OUTCOME_SOURCES for path in derived_files(study, source, "many")]
    assert sum(len(f"results/{file} ") for file in files) > LONGEST_WORD
    target = "results/experiments/many/outcomes.nc"
    options = ("--dry-run", "--printshellcmds", "--quiet", "host", "--", target)
    printed = finished.snakemake(*options, config=config).stdout
    (line,) = re.findall(r"deadtokens outcomes .*?--output", printed, re.DOTALL)
    assert len(line) < LONGEST_WORD / 2
    assert line.count("/steps-6") == 400
    assert "--factors weights moments" in line


def in_the_model(house):
    config = copy.deepcopy(TINY)
    config["defaults"]["heads"] = 3
    return house.snakemake("--dry-run", config=config)


def in_the_file(house):
    (house.work / "twice.yaml").write_text("defaults:\n  lr: 1\n  lr: 2\n")
    return house.snakemake("--dry-run", "--configfile", "tiny.yaml", "twice.yaml")


def in_what_is_recorded(house):
    config = copy.deepcopy(TINY)
    config["defaults"]["record"] = {"segment": 3, "tensors": ["W"]}
    config["experiments"]["regimes"]["figures"] = ["frozen", "shares"]
    return house.snakemake("--dry-run", config=config)


def in_what_varies(house):
    config = copy.deepcopy(TINY)
    config["experiments"]["regimes"]["figures"] = ["sweep"]
    return house.snakemake("--dry-run", config=config)


# Every mistake of the models has its sentence in tests/study.
MISTAKES = {
    in_the_model: "defaults.heads: 3 heads do not divide the width 8",
    in_the_file: "twice.yaml, line 3: the key 'lr' stands in this mapping a second time",
    in_what_is_recorded: "experiments.regimes.figures: 'shares' is drawn from the gradients",
    in_what_varies: "experiments.regimes.figures: 'sweep' needs an experiment that varies a number",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_configuration_is_one_sentence(mistake, finished):
    answer = mistake(finished)
    assert answer.returncode == 1
    assert MISTAKES[mistake] in answer.stdout
    assert "Traceback" not in answer.stdout


def test_the_graph_is_drawn(finished):
    answer = finished.snakemake("--dag")
    assert answer.returncode == 0
    assert "digraph" in answer.stdout


def test_the_report_holds_every_figure(finished, tmp_path):
    answer = finished.snakemake("--report", str(tmp_path / "report.html"))
    assert answer.returncode == 0, answer.stdout
    report = (tmp_path / "report.html").read_text()
    assert all(f"{figure}.png" in report for figure in OF_REGIMES)
    assert all(name in report for name in ("paper.pdf", "claims.csv", "jobs.html"))
    assert all(f"{number}. {question}" in report for number, question in QUESTIONS.items())
    for figure in (*OF_REGIMES, "animation"):
        summary = import_module(f"deadtokens.figures.{figure}").__doc__.partition("\n")[0]
        assert max(re.split(r"[^\w ,.]", summary), key=len) in report, figure


# As an executor for clusters calls Snakemake on the node, for one job.
ON_A_NODE = (
    *("--mode", "remote", "--force", "--nolock"),
    *("--allowed-rules", "collect_jobs", "--target-jobs", "collect_jobs:"),
)


def test_a_job_on_a_node_asks_for_its_own_fingerprint_alone(house):
    table = house.work / "results" / "jobs" / "jobs.csv"
    begin = "digest = hashlib.sha256()"
    table.unlink()
    house.edit("workflow/deadtokens/fingerprint.py", begin, f"print('asked', module); {begin}")
    asked = set(re.findall(r"asked deadtokens\.(\S+)", house.snakemake("--dry-run").stdout))
    assert {"jobs", "training.segment", "paper.paper"} < asked
    answer = house.snakemake(*ON_A_NODE)
    assert answer.returncode == 0, answer.stdout
    assert table.exists()
    assert set(re.findall(r"asked deadtokens\.(\S+)", answer.stdout)) == {"jobs"}
