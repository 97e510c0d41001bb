"""The study on a Slurm: what it loses of jobs, nodes and time changes no bit of it."""

import copy
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path

import pytest
import xarray as xr
import yaml
from house import NO_CLAIMS, TINY, House, build_house
from slurm import NODES, Slurm
from tiny import train_run

from deadtokens.files import is_temporary

QUICKLY = ("--slurm-init-seconds-before-status-checks", "2")
SUBMIT = (
    "sbatch --parsable --cpus-per-task={threads} --mem={resources.mem_mb} "
    "--time={resources.runtime} --gpus={resources.gpu} --output=.snakemake/%j.log"
)
SEGMENTS, SECONDS = 8, 25  # of a run that does not fit into two minutes and a half
GPUS = sum(map(len, NODES.values()))
MEASURED_TIMES = ("benchmarks", "jobs", "paper")  # folders of results that say how long jobs took


def configuration(**fields) -> dict:
    """Return the tiny study of two regimes and two seeds, whose trainings ask for a GPU each."""
    config = copy.deepcopy(TINY) | NO_CLAIMS
    config["defaults"] |= {"device": "auto", "steps": 12, **fields}
    config["experiments"]["regimes"] |= {"seeds": [0, 1], "figures": ["audit"]}
    return config


@contextmanager
def on_the_cluster(
    python: Path,
    house: House,
    config: dict,
    *arguments: str,
    profile: str = "slurm",
    options: tuple = QUICKLY,
) -> Iterator:
    """Yield the process of Snakemake that submits; its output is in ``submitted.txt``."""
    (house.work / "tiny.yaml").write_text(yaml.safe_dump(config))
    command = [
        *(python, "-P", "-m", "snakemake", "--snakefile", house.code / "Snakefile"),
        *("--workflow-profile", house.code / "profiles" / profile),
        *("--configfile", "tiny.yaml", "--latency-wait", "10", *options, *arguments),
    ]
    with (house.work / "submitted.txt").open("w") as output:
        process = subprocess.Popen(command, cwd=house.work, stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def said(house: House) -> str:
    return (house.work / "submitted.txt").read_text()


def wait_until(condition: Callable, process: subprocess.Popen, patience: float = 300):
    """Return what `condition` returns when it is true; not longer than Snakemake runs."""
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError, subprocess.SubprocessError):
            if found := condition():
                return found
        time.sleep(0.3)
    raise AssertionError("what was waited for did not happen")


def trainings(house: House, slurm: Slurm) -> dict[int, str]:
    """Return the runs whose trainings run now on the cluster, by job."""
    logs = (house.work / ".snakemake" / "slurm_logs").glob("group_training-*/*.log")
    digests = {
        int(log.stem): log.parent.name.split("_")[1].removeprefix("training-") for log in logs
    }
    return {job: digests[job] for job in slurm.running() if job in digests}


def has_finished(house: House, digest: str, segment: int) -> bool:
    """Return whether a segment of a run is finished, and the next one is not."""
    checkpoints = f"results/runs/*{digest}/checkpoints/checkpoint-{{:03d}}.safetensors.seal.json"
    here, further = (list(house.work.glob(checkpoints.format(segment + k))) for k in (0, 1))
    return bool(here) and not further


def results(house: House) -> dict[str, Path]:
    """Return the files of the results, by their names, but for those that tell times."""
    folder = house.work / "results"
    return {
        str(path.relative_to(folder)): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not is_temporary(path)
        and path.relative_to(folder).parts[0] not in MEASURED_TIMES
    }


def assert_same_results(one: House, other: House) -> None:
    """Compare every value and attribute; of a record the order of its chunks may differ."""
    ours, theirs = results(one), results(other)
    assert ours.keys() == theirs.keys()
    for name, path in ours.items():
        if path.suffix == ".nc":
            assert xr.load_dataset(path).identical(xr.load_dataset(theirs[name])), name
        elif not name.endswith((".nc.seal.json", ".png", ".pdf")):
            assert path.read_bytes() == theirs[name].read_bytes(), name


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Return the house in which the study has run on this machine."""
    house = build_house(tmp_path_factory.mktemp("local") / "house")
    answer = house.snakemake(config=configuration())
    assert answer.returncode == 0, answer.stdout
    return house


@pytest.fixture(scope="module")
def survived(slurm, submitting, tmp_path_factory):
    """Return the house whose study ran on the cluster and lost a job and a node's daemon."""
    house = build_house(tmp_path_factory.mktemp("a space, 'quotes', {braces}") / "house")
    with on_the_cluster(submitting, house, configuration()) as process:

        def begun(node: str) -> list[int]:
            return [
                job
                for job, digest in trainings(house, slurm).items()
                if slurm.running()[job] == node and has_finished(house, digest, 0)
            ]

        cancelled, *_ = wait_until(lambda: begun("n0"), process)
        with slurm.paused(cancelled):
            subprocess.run(["scancel", str(cancelled)], check=True)
        orphaned, *_ = wait_until(lambda: begun("n1"), process)
        with slurm.paused(orphaned):
            slurm.kill("n1")
            wait_until(lambda: "down" in slurm.states()[1], process)
        slurm.start("n1")
        assert process.wait(900) == 0, said(house)
    return house, cancelled, orphaned


def test_jobs_and_nodes_may_be_lost(survived, slurm):
    house, cancelled, orphaned = survived
    states = {(ended.job, ended.state) for ended in slurm.ended()}
    assert (cancelled, "CANCELLED") in states
    assert (orphaned, "NODE_FAIL") in states
    assert (orphaned, "COMPLETED") in states  # queued again by Slurm
    assert re.search(rf"Error in group training-\w+\n +log: .*/{cancelled}\.log ", said(house))


def test_the_results_are_those_of_one_machine(survived, local):
    house, *_ = survived
    assert_same_results(house, local)
    audits = list(house.work.glob("results/runs/*/steps-*/audit.json"))
    assert len(audits) == 4
    assert all(json.loads(audit.read_text())["identical"] for audit in audits)


def test_a_difference_would_be_seen(survived, tmp_path):
    house, *_ = survived
    other = house.copy(tmp_path / "other")
    path = next(other.work.glob("results/runs/*/trajectory/segment-001.nc"))
    with xr.load_dataset(path) as record:
        record["loss"][0] *= 1.0000001
    record.to_netcdf(path)
    with pytest.raises(AssertionError, match=r"segment-001\.nc"):
        assert_same_results(house, other)


def test_never_more_trainings_than_gpus_each_with_its_own(survived, slurm):
    """As the controller keeps their times, and as each step saw its device."""
    tries = {}
    for step in slurm.steps():
        if step.devices != "none":
            ends = [ended.end for ended in slurm.ended() if ended.job == step.job]
            end = min((end for end in ends if end >= step.time), default=time.time())
            tries[step.job, end] = (step.time, end, step.node, step.devices)
    assert len(tries) >= 6  # four runs, of which two were begun again
    for begin, *_ in tries.values():
        held = [
            (node, devices) for start, end, node, devices in tries.values() if start <= begin < end
        ]
        assert len(held) <= GPUS
        assert all(one != other for one, other in combinations(held, 2))
    assert {devices for _, _, _, devices in tries.values()} == {"0", "1"}


def test_a_study_is_few_submissions(survived):
    house, *_ = survived
    submitted = said(house).count("has been submitted with SLURM jobid")
    trainings, analyses, texts, experiments, papers, retried = 4, 4, 1, 1, 1, 1
    assert submitted == trainings + analyses + texts + experiments + papers + retried


def test_a_submit_command_does_as_well(slurm, submitting, local, tmp_path):
    house, before = build_house(tmp_path / "house"), len(slurm.ended())
    ours = next(local.work.glob("results/runs/*/steps-*/audit.json"))
    audit = str(ours.relative_to(local.work))
    submit = ("--cluster-generic-submit-cmd", SUBMIT)
    with on_the_cluster(
        submitting, house, configuration(), audit, profile="generic", options=submit
    ) as process:
        assert process.wait(900) == 0, said(house)
    assert (house.work / audit).read_bytes() == ours.read_bytes()
    assert [ended.state for ended in slurm.ended()[before:]] == ["COMPLETED"] * 3


def test_a_run_longer_than_its_time_limit_goes_on(slurm, submitting, tmp_path):
    """With a limit of two minutes, into which its segments do not fit, each is trained once."""
    house, updates = build_house(tmp_path / "house"), updates_in(SECONDS, tmp_path)
    config = configuration(steps=SEGMENTS * updates, record={"segment": updates})
    config["experiments"] = {"one": {"seeds": [0], "figures": []}}
    (run,) = house.study(config).runs
    folder = house.work / "results" / "runs" / run
    last = f"results/runs/{run}/checkpoints/checkpoint-{SEGMENTS - 1:03d}.safetensors"
    of_the_first = "train_segment:runtime=2 if wildcards.segment == '000' else 0"
    before, finished = len(slurm.ended()), {}

    with on_the_cluster(
        submitting, house, config, last, "--retries", "9", "--set-resources", of_the_first
    ) as process:
        while process.poll() is None:
            for name, record in sealed_records(folder).items():
                finished.setdefault(name, record)
            time.sleep(0.3)
        assert process.returncode == 0, said(house)

    states = [ended.state for ended in slurm.ended()[before:]]
    assert "TIMEOUT" in states
    assert states[-1] == "COMPLETED"
    assert len(finished) == SEGMENTS
    assert sealed_records(folder) == finished  # none was written anew
    log = house.work / "logs" / "train_segment" / run / "000.log"
    assert "segment 0 is finished; it stays as it is" in log.read_text()


def updates_in(seconds: float, folder: Path) -> int:
    """Return how many updates of the run are recorded in so many seconds, about."""
    for sample in (10, 500):  # the first has much to begin
        begin = time.perf_counter()
        sizes = {"batch": 2, "context": 8, "width": 8, "layers": 1, "record": {"segment": sample}}
        train_run(folder, 1, 290, **sizes)
    return round(seconds * sample / (time.perf_counter() - begin))


def sealed_records(folder: Path) -> dict[str, int]:
    """Return the files of the segments that have a sealed checkpoint, by inode: of that write."""
    seals = folder.glob("checkpoints/checkpoint-*.seal.json")
    names = [f"segment-{seal.name[11:14]}.nc" for seal in seals]
    return {name: (folder / "trajectory" / name).stat().st_ino for name in names}
