"""The engine's benchmark: the same jobs written plainly, finished without their work."""

import json
import sys
from collections import Counter

import pytest
import yaml
from house import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import engine


def job(rule, run, inputs, outputs):
    return {"rule": rule, "run": run, "inputs": inputs, "outputs": outputs}


JOBS = [
    job("text", None, [], ["one", "one.seal"]),
    job("text", None, [], ["other", "other.seal"]),
    job("train", "run-a", [["one", True], ["one.seal", False]], ["runs/run-a/w"]),
    job("train", "run-b", [["one", True], ["one.seal", False]], ["runs/run-b/w"]),
    job("train", "run-c", [["other", True], ["other.seal", False]], ["runs/run-c/w"]),
    job("draw", None, [["runs/run-a/w", False], ["runs/run-c/w", False]], ["figure"]),
    job("all", None, [["figure", False]], []),
]


def test_jobs_are_one_rule_if_they_differ_in_the_run_alone():
    rules, places = engine.plainly(JOBS)
    assert [rule.partition(":")[0] for rule in rules] == [
        "rule text_0", "rule text_1", "rule train_2", "rule train_3", "rule draw_4", "rule all_5",
    ]  # fmt: skip
    assert "input: ancient('0/one'), '0/one.seal'\n    output: '0/runs/{run}/w'\n" in rules[2]
    assert "input: ancient('0/other'), '0/other.seal'\n    output: '1/runs/{run}/w'\n" in rules[3]
    assert "input: '0/runs/run-a/w', '1/runs/run-c/w'\n    output: '0/figure'\n" in rules[4]
    assert "input: '0/figure'\n    default_target: True\n" in rules[5]
    assert places["runs/run-b/w"] == "0/runs/run-b/w" and places["runs/run-c/w"] == "1/runs/run-c/w"


def test_what_is_released_is_what_was_recorded_of_such_runs():
    jobs = [
        job("train_segment", "a", [], ["segment", "checkpoint"]),
        job("train_segment", "b", [], ["kept"]),
        job("measure_freezing", "a", [], ["freezing"]),
        job("release_run", "a", [], ["receipt"]),
    ]
    assert list(engine.released(jobs)) == ["segment", "checkpoint"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    changes = folder / "changes.yaml"
    figures = {"figures": ["loss", "frozen"], "seeds": [0, 1]}
    changes.write_text(yaml.safe_dump({"keep": "derived", "experiments": {"regimes": figures}}))
    workflows, jobs = engine.finished_workflows([changes], folder)
    return workflows, jobs, folder


def test_both_have_the_same_jobs(finished):
    _, jobs, folder = finished
    lines = (folder / "bare" / "jobs.jsonl").read_text().splitlines()
    bare = [job | {"rule": job["rule"].rpartition("_")[0]} for job in map(json.loads, lines)]
    sizes = [
        Counter((one["rule"], len(one["inputs"]), len(one["outputs"])) for one in ones)
        for ones in (jobs, bare)
    ]
    assert sizes[0] == sizes[1]
    assert sizes[0]["train_segment", 4, 4] == 4 and sizes[0]["train_segment", 6, 4] == 8


def test_both_have_nothing_to_do_and_it_is_said_if_they_have(finished):
    workflows, _, folder = finished
    assert not list((folder / "ours").glob("results/runs/*/trajectory/*"))
    assert len(list((folder / "ours").glob("results/runs/*/released.json"))) == 4
    assert all(workflow.nothing() > 0 for workflow in workflows.values())
    (figure,) = (folder / "bare").rglob("regimes/loss.png")
    figure.unlink()
    with pytest.raises(RuntimeError, match="has something to do"):
        workflows["bare"].nothing()
