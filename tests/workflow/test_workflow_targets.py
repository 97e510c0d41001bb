"""What is asked for by path is held to the configuration as its own keys are: dry runs."""

import copy

import pytest
from foreign_records import make_record
from house import TINY, build_house

CONFIG = copy.deepcopy(TINY)
CONFIG["recorded"] = {"mine": {"path": "record"}}
CONFIG["models"] = {"its-end": {"recorded": "mine"}}
CONFIG["experiments"]["ours"] = {"recorded": ["mine"]}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Return a house in which nothing is made yet."""
    built = build_house(tmp_path_factory.mktemp("targets") / "house")
    make_record(built.work / "record")
    return built


@pytest.fixture(scope="module")
def names(house):
    """Return what the study calls the vocabulary, a text, and a run."""
    study = house.study(CONFIG)
    return {
        "V": next(iter(study.vocabularies)),
        "C": next(iter(study.corpora)),
        "R": next(iter(study.runs)),
    }


def refused(house, target: str) -> str:
    """Return what a dry run says, in one sentence, of a target that it refuses."""
    answer = house.snakemake("--dry-run", "--", target, config=CONFIG)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stdout
    return answer.stdout.partition("Building DAG of jobs...\n")[2].strip()


UNKNOWN = {
    "figures/regime/frozen.png": ("experiment 'regime'", "regimes"),
    "figures/regime/drift.gif": ("experiment 'regime'", "regimes"),
    "experiments/regime/outcomes.nc": ("experiment 'regime'", "regimes"),
    "corpora/x{C}/text.txt": ("corpus 'x{C}'", "{C}"),
    "vocabularies/{V}x/tokenizer.json": ("vocabulary '{V}x'", "{V}"),
    "vocabularies/{V}x/census.csv": ("vocabulary '{V}x'", "{V}"),
    "runs/{R}x/steps-6/freezing.nc": ("run '{R}x'", "{R}"),
    "runs/{R}x/trajectory/segment-000.nc": ("run '{R}x'", "{R}"),
    "runs/{R}x/released.json": ("run '{R}x'", "{R}"),
    "runs/{R}x/initial_softmax.nc": ("run '{R}x'", "{R}"),
    "benchmarks/{R}x/storage.nc": ("run '{R}x'", "{R}"),
    "recorded/min/audit.json": ("recording 'min'", "mine"),
    "models/its-ends/W/matrix_holes.png": ("model 'its-ends'", "its-end"),
}


@pytest.mark.parametrize("target", UNKNOWN)
def test_an_unknown_name_is_a_sentence_with_the_nearest(target, house, names):
    what, near = (text.format(**names) for text in UNKNOWN[target])
    path = f"results/{target.format(**names)}"
    assert refused(house, path) == f"{path}: the study has no {what}; did you mean {near!r}?"


BESIDE = "it is of runs of the study, and the experiment has recordings alone"
WITHOUT = {
    "figures/regimes/factorial.pdf": "'factorial' needs an experiment that varies two or three",
    "figures/ours/outcomes.png": f"'outcomes' cannot be drawn: {BESIDE}",
    "experiments/ours/effects.csv": f"'outcomes' cannot be drawn: {BESIDE}",
    "runs/{R}/steps-7/scalars.nc": "7 is not a multiple of record.segment, 3; take 6 or 9 steps",
    "runs/{R}/steps-2/backprop.csv": "2 is not a multiple of record.segment, 3; take 3 steps",
    "runs/{R}/released.json": "records are kept; `keep: derived` in the configuration has them",
}


@pytest.mark.parametrize("target", WITHOUT)
def test_what_the_study_cannot_have_is_a_sentence(target, house, names):
    path = f"results/{target.format(**names)}"
    said = refused(house, path)
    assert said.startswith(f"{path}: {WITHOUT[target]}")
    assert "\n" not in said


@pytest.mark.parametrize(
    "target",
    [
        "runs/{R}/trajectory/segment-01.nc",
        "runs/{R}/trajectory/segment-0001.nc",
        "runs/{R}/checkpoints/checkpoint-1.safetensors",
        "runs/{R}/steps-06/scalars.nc",
        "runs/{R}/steps-0/scalars.nc",
        "weights/unheard-of",
    ],
)
def test_no_rule_makes_a_second_file_of_the_same(target, house, names):
    path = f"results/{target.format(**names)}"
    assert refused(house, path).startswith(f"MissingRuleException:\nNo rule to produce {path} ")


def test_several_are_told_at_once_and_however_they_are_asked_for(house, names):
    paths = [f"results/figures/regime/{figure}.png" for figure in ("frozen", "loss")]
    said = [f"{path}: the study has no experiment 'regime'" for path in paths]
    targets = [f"./{paths[0].replace('figures/', 'figures//')}", paths[1]]
    for words in (("--until", *targets), ("--forcerun", *targets), ("--", *targets)):
        answer = house.snakemake("--dry-run", *words, config=CONFIG)
        assert answer.returncode == 1
        assert [line.partition(";")[0] for line in answer.stdout.splitlines()[-2:]] == said


GOOD = {
    "all": "collect_jobs",
    "draw_clouds": "draw_clouds",
    "results/figures/regimes/frozen.csv": "draw_frozen",
    "results/figures/ours/drift.gif": "draw_animation",
    "results/corpora/{C}/text.txt": "read_corpus",
    "results/vocabularies/{V}/tokenizer.json.seal.json": "train_vocabulary",
    "results/runs/{R}/steps-9/scalars.nc": "collect_scalars",
    "results/runs/{R}/trajectory/segment-001.nc": "train_segment",
    "results/recorded/mine/audit.json": "run_audit_of_recording",
    "results/benchmarks/{R}/tensors.nc": "measure_tensors",
    "results/models/its-end/W/census.nc": "examine_matrix",
}


@pytest.mark.parametrize("target", GOOD)
def test_what_the_study_has_is_planned(target, house, names):
    assert GOOD[target] in house.would_run("--", target.format(**names), config=CONFIG)
