"""What a cluster would be asked for: dry runs through the profiles."""

import copy
import re
import subprocess

import pytest
import yaml
from house import REPOSITORY, TINY, build_house

PROFILES = ("slurm", "generic")
KINDS = {"texts", "training", "analyses", "experiment", "paper"}


def profile(name: str) -> dict:
    return yaml.safe_load((REPOSITORY / "profiles" / name / "config.yaml").read_text())


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    return build_house(tmp_path_factory.mktemp("profiles") / "house")


def of_three_devices() -> dict:
    """Return a study of three runs of five segments."""
    config = copy.deepcopy(TINY)
    config["defaults"]["steps"] = 15
    devices = {"precision": ["pure-bf16"], "device": ["cpu", "cuda", "auto"]}
    config["experiments"]["regimes"]["vary"] = devices
    return config


@pytest.fixture(scope="module", params=PROFILES)
def announced(request, house, submitting):
    return dry_run(submitting, house, request.param, of_three_devices())


def dry_run(python, house, name, config):
    (house.work / "tiny.yaml").write_text(yaml.safe_dump(config))
    answer = subprocess.run(
        [python, "-P", "-m", "snakemake", "--snakefile", house.code / "Snakefile", "--dry-run",
         "--workflow-profile", house.code / "profiles" / name, "--configfile", "tiny.yaml",
         "--quiet", "host"],
        cwd=house.work, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout
    return answer.stdout


def jobs_of(announced: str, rule: str) -> list[str]:
    """Return what is said of the jobs of a rule; those of a group are indented."""
    jobs = re.split(r"\n *(?:local)?rule ", announced)[1:]
    return [job for job in jobs if job.startswith(f"{rule}:")]


def resource(job: str, name: str) -> str:
    (found,) = re.findall(rf"\b{name}=(\S+?)[,\n]", job)
    return found


def test_trainings_ask_for_a_gpu_unless_they_are_of_the_cpu(announced, house):
    trainings = jobs_of(announced, "train_segment")
    assert len(trainings) == 15
    runs = house.study(of_three_devices()).runs
    for job in trainings:
        device = runs[resource(job, "run")].device
        assert resource(job, "gpu") == ("0" if device == "cpu" else "1")
        assert resource(job, "mem_mb") == "8000"
        assert resource(job, "runtime") == "6"


def test_analyses_ask_for_none(announced):
    (*jobs,) = jobs_of(announced, "measure_freezing")
    assert len(jobs) == 3
    for job in jobs:
        assert re.findall(r"\bgpu=(\d)", job) in ([], ["0"])
        assert resource(job, "mem_mb") == "3000"
        assert resource(job, "runtime") == "6"


def test_what_belongs_together_is_one_submission(announced):
    groups = re.findall(r"Group job (\w+)", announced)
    runs, counts = 3, {kind: groups.count(kind) for kind in KINDS}
    assert counts == {"texts": 1, "training": runs, "analyses": runs, "experiment": 1, "paper": 1}
    assert set(groups) == KINDS


def test_names_of_submissions_are_short_whatever_a_label_is(house, submitting):
    """Snakemake makes files of them, with the names of five rules and 70 letters of its own."""
    config = copy.deepcopy(TINY)
    label = "-".join(map(str, range(100, 120)))
    config["experiments"][label] = {"seeds": [0]}
    announced = dry_run(submitting, house, "slurm", config)
    names = re.findall(r"Group job (\S+)", announced)
    assert len(label) > 60
    assert max(map(len, names)) <= len("experiment-") + 40


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_names_kinds_and_rules_that_exist(name):
    kinds = {entry.partition("=")[0] for entry in profile(name)["group-components"]}
    assert kinds < KINDS
    rules = "\n".join(path.read_text() for path in REPOSITORY.glob("workflow/rules/*.smk"))
    for rule in profile(name)["set-resources"]:
        assert f"rule {rule}:" in rules


def test_the_profiles_agree_where_they_mean_the_same():
    """All but the engine's own keys and what a site asks for."""
    slurm, generic = map(profile, PROFILES)
    own = re.compile(r"slurm-|cluster-generic-|executor|default-resources|set-resources")
    for key in {*slurm, *generic}:
        if not own.match(key):
            assert slurm.get(key) == generic.get(key), key


@pytest.mark.parametrize("letter", ['"', "$", "`", "\\"])
def test_a_folder_that_no_job_would_find_is_told_before(submitting, tmp_path, letter):
    house = build_house(tmp_path / f"a{letter}b" / "house")
    command = [
        *(submitting, "-P", "-m", "snakemake", "--snakefile", house.code / "Snakefile"),
        *("--workflow-profile", house.code / "profiles" / "slurm", "--configfile", "tiny.yaml"),
    ]
    (house.work / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    answer = subprocess.run(command, cwd=house.work, capture_output=True, text=True, timeout=120)
    assert answer.returncode != 0
    sentence = 'on a cluster no job finds a folder with ", $, ` or \\ in its name; move it, or run'
    assert sentence in answer.stderr
    assert "Traceback" not in answer.stderr
