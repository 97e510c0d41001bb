"""What a study takes is told before it starts, and refused where the disk has no room for it."""

import csv
import json
import subprocess
import sys
from collections import Counter, namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from config_data import DEFAULT, with_experiment

from deadtokens.backprop.backprop import MOST_LOGITS
from deadtokens.cli import call
from deadtokens.costs.storage import UPDATES
from deadtokens.errors import UserError
from deadtokens.matrices.sources import WEIGHTS
from deadtokens.run.spec import RunSpec
from deadtokens.study import plan, room
from deadtokens.study.estimates import (
    ANALYSES,
    BENCHMARK_UPDATES,
    SLOW_CORE,
    USUAL_SHAPE,
    analysis_seconds,
    examination_seconds,
    likely_shape,
    training_seconds,
)
from deadtokens.study.figures import FIGURES, OF_CENSUSES, Scope
from deadtokens.study.inventory import File, files_of
from deadtokens.study.plan import parts_of
from deadtokens.study.study import Study
from deadtokens.training.size import checkpoint_bytes, predicted_bytes

SHORT = DEFAULT["defaults"] | {"steps": 6, "record": {"segment": 2}}
SHARED = DEFAULT | {
    "defaults": SHORT,
    "experiments": {
        "regimes": {"vary": {"precision": ["pure-bf16", "fp32"]}, "seeds": [0, 1]},
        "longer": {"set": {"steps": 10}, "seeds": [0], "figures": ["frozen"]},
        "twice": {"vary": {"steps": [4, 6]}, "figures": []},
    },
}


@pytest.fixture
def study() -> Study:
    return Study(SHARED)


def counts(study: Study, *experiments: str) -> Counter:
    """Return how many files of each stage some experiments have, and their updates."""
    files = files_of(study, experiments)
    found = Counter(file.stage for file in files)
    return found | Counter(updates=sum(file.updates for file in files))


def test_an_experiment_s_files_are_counted(study):
    """Worked out by hand: a text job each for two corpora, tokenizer, stream and census.

    Two regimes have all figures but `factorial`, `sweep` and `remedies`, and an animation.
    """
    regimes = counts(study, "regimes")
    each = {"scalars", "freezing", "sharpening", "drift", "audit", "attribution"}
    each |= {"indicators", "stillness", "gradients", "backprop"}
    once = {"initial_softmax", "storage", "tensors", "outcomes"}
    expected = {"text": 5, "training": 4 * 3 * 2, "updates": 4 * 6, "figures": len(FIGURES) - 2}
    assert regimes == expected | dict.fromkeys(each, 4) | dict.fromkeys(once, 1)


def test_only_what_is_drawn_is_measured(study):
    """Five segments, each with its checkpoint; one figure, and the scalars that the paper reads."""
    measured = {"freezing": 1, "scalars": 1, "figures": 1}
    assert counts(study, "longer") == {"text": 5, "training": 10, "updates": 10} | measured
    assert counts(study, "twice") == {"text": 5, "training": 6, "updates": 6}


def test_an_animation_needs_the_drift_of_the_first_run_alone():
    animated = {"vary": {"precision": ["pure-bf16", "fp32"]}, "figures": ["animation"]}
    found = counts(Study(with_experiment(**animated)), "one")
    assert (found["drift"], found["figures"], found["freezing"]) == (1, 1, 0)


def test_what_experiments_share_is_counted_once(study):
    """The defaults' run is in all three: of its 5 segments, 3, 5 and 3 are asked for."""
    every = counts(study, *study.experiments)
    assert every["updates"] == 4 * 6 + 10 - 6
    assert every["training"] == 2 * (4 * 3 + 5 - 3)
    assert every["freezing"] == 4 + 1  # another length is another file
    assert every["text"] == 5


def test_every_analysis_of_a_figure_has_its_cost():
    sources = {source.file for source in FIGURES.values() if source.scope != Scope.VOCABULARIES}
    assert {file.partition(".")[0] for file in sources} == set(ANALYSES)


def put(results: Path, path: str, sealed: bool = True) -> None:
    file = results / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    if sealed:
        file.with_name(f"{file.name}.seal.json").touch()


def test_what_is_there_with_its_seal_is_subtracted(study, tmp_path):
    files = files_of(study, ["longer"])
    first, second, third = (file for file in files if file.updates and file.path[-4] in "012")
    put(tmp_path, first.path)
    put(tmp_path, second.path, sealed=False)
    Path(tmp_path, third.path + ".seal.json").touch()
    (figure,) = (file for file in files if file.stage == "figures")
    put(tmp_path, figure.path, sealed=False)
    part = parts_of(study, tmp_path)["longer"]
    assert part.present == [first, figure]
    assert sum(file.updates for file in part.missing) == 8
    assert part.seconds(["figures"]) == 0 < part.seconds(["text"])
    whole = parts_of(study, tmp_path / "elsewhere")["longer"]
    assert sum(file.bytes for file in whole.missing) == (
        sum(file.bytes for file in part.missing) + first.bytes + figure.bytes
    )


@pytest.fixture
def configuration(tmp_path, monkeypatch) -> list[str]:
    """Return the arguments of a short study, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_text(json.dumps(SHARED))
    return ["mine.json"]


def test_a_disk_without_room_is_refused_in_a_sentence(configuration, study, monkeypatch):
    needed = sum(file.bytes for file in files_of(study, study.experiments))
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: usage(needed - 1))
    with pytest.raises(UserError) as caught:
        call("plan", [*configuration, "--csv", "plan.csv"])
    assert str(caught.value) == (
        f"results: what is missing needs about {needed:,} bytes, and {needed - 1:,} are free on "
        "its disk; plan fewer runs, let records go when they are read (keep: derived), record the "
        "gradients alone (record.tensors: [grad]), or take another disk (snakemake --directory)"
    )
    assert Path("plan.csv").exists()
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: usage(needed))
    call("plan", configuration)


RELEASING = SHARED | {"keep": "derived"}


def sums(study: Study, of: Callable[[File], bool]) -> Counter:
    """Return the bytes of some files by run."""
    found = Counter()
    for file in files_of(study, study.experiments):
        if of(file):
            found[file.run] += file.bytes
    return found


@pytest.mark.parametrize("cores", [1, 2, 99])
def test_records_that_are_released_count_as_many_as_there_are_jobs(cores):
    """The first run is measured alone, so that its record waits until the end."""
    study = Study(RELEASING)
    records = sums(study, lambda file: file.stage == "training")
    others = sums(study, lambda file: file.stage != "training").total()
    first = records.pop(study.experiments["regimes"].members[0].run)
    passing = sum(sorted(records.values())[-cores:])
    missing = files_of(study, study.experiments)
    assert room.bytes_at_once(study, [], missing, cores) == others + first + passing
    kept = room.bytes_at_once(Study(SHARED), [], missing, cores)
    assert kept == sum(file.bytes for file in missing)


def test_of_a_run_whose_record_is_released_nothing_is_to_be_made(tmp_path):
    study = Study(RELEASING | {"experiments": {"longer": SHARED["experiments"]["longer"]}})
    stages = ("freezing", "scalars")
    read = [file for file in files_of(study, ["longer"]) if file.stage in stages]
    for file in read:
        assert sum(one.updates for one in parts_of(study, tmp_path)[""].missing) == 10
        put(tmp_path, file.path)
    part = parts_of(study, tmp_path)[""]
    assert sum(file.updates for file in part.missing) == 0
    assert sum(file.updates for file in part.present) == 10
    assert sum(file.bytes for file in part.present) == sum(file.bytes for file in read)
    kept = Study(SHARED | {"experiments": {"longer": SHARED["experiments"]["longer"]}})
    assert sum(file.updates for file in parts_of(kept, tmp_path)[""].missing) == 10


def test_the_disk_is_that_of_the_results(configuration, monkeypatch):
    asked, usage = [], namedtuple("usage", "free")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda at: asked.append(at) or usage(10**15))
    Path("there", "results").mkdir(parents=True)
    for results in ["there/results", "there/none", "none/none"]:
        call("plan", [*configuration, "--results", results])
    assert asked == [Path("there/results").absolute(), Path("there").absolute(), Path.cwd()]


def test_the_table_for_scripts_has_every_experiment_and_all_together(configuration, study):
    call("plan", [*configuration, "--csv", "plan.csv"])
    with open("plan.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == [
        *("experiment", "run", "stage", "present", "updates", "segments", "bytes", "seconds")
    ]
    spec = RunSpec(record={"segment": 2}, vocabulary=next(iter(study.vocabularies)))
    segment, tokens = predicted_bytes(spec, 4096), checkpoint_bytes(spec, 4096)
    (row,) = (row for row in table if (row["experiment"], row["stage"]) == ("longer", "training"))
    assert row == {
        "experiment": "longer",
        "run": spec.identity(),
        "stage": "training",
        "present": "False",
        "updates": "10",
        "segments": "5",
        "bytes": str(5 * (segment + tokens)),
        "seconds": str(round(5 * training_seconds(spec, 4096), 1)),
    }
    updates = Counter()
    for row in table:
        updates[row["experiment"]] += int(row["updates"])
    assert updates == {"regimes": 24, "longer": 10, "twice": 6, "": 28}


def test_people_are_told_the_same(configuration, study, caplog):
    caplog.set_level("INFO")
    call("plan", configuration)
    lines = [" ".join(line.split()) for line in caplog.text.splitlines()]
    (all_together,) = (line for line in lines if "all, shared runs once" in line)
    assert " once 4 2 28 28 14 " in all_together
    assert any("regimes 4 2 24 24 12 " in line for line in lines)
    total = sum(file.seconds for file in files_of(study, study.experiments))
    assert any(line.endswith(plan.duration(total)) for line in lines if "all stages" in line)


@pytest.mark.parametrize("number", [plan.MOST_NAMED, plan.MOST_NAMED + 1])
def test_many_runs_are_told_by_their_size(number):
    seeds = {"vary": {"precision": ["fp32"]}, "seeds": list(range(number))}
    study = Study({**SHARED, "experiments": {"many": seeds}})
    lines = list(plan.report(study, plan.parts_of(study, Path("nowhere")), 1))
    of_records = [line for line in lines if " segments of " in line]
    assert len(of_records) == (1 if number > plan.MOST_NAMED else number)
    assert of_records[0].startswith(f"{number} runs, each: ") == (number > plan.MOST_NAMED)
    assert all(any(line.startswith(run) for run in study.runs) for line in of_records[1:])


MODELS = {
    "theirs": {"path": "model.gguf", "matrices": ["embedding", "unembedding"]},
    "bert": {"source": "minilm"},
    "again": {"source": "minilm"},
    "gone": {"path": "results/models/gone"},
}


@pytest.fixture
def with_models(tmp_path, monkeypatch) -> Study:
    """Return a study with models of others: of 20 MB, pinned twice, and of results alone."""
    monkeypatch.chdir(tmp_path)
    with Path("model.gguf").open("wb") as file:
        file.truncate(20_000_000)
    config = SHARED | {"experiments": {"one": {"seeds": [0]}}, "models": MODELS}
    Path("mine.json").write_text(json.dumps(config))
    return Study(config)


def of_models(files) -> list[File]:
    return [file for file in files if file.stage == "models"]


def test_models_of_others_are_named(with_models):
    lines = list(plan.report(with_models, plan.parts_of(with_models, Path("nowhere")), 1))
    assert [line for line in lines if line.startswith("models.")] == [
        "models.theirs: model.gguf, 20 MB, its embedding and unembedding examined",
        "models.bert: results/weights/minilm, 91 MB, its embedding examined",
        "models.again: results/weights/minilm, 91 MB, its embedding examined",
        "models.gone: results/models/gone, which has what was made of it; the model is not here",
    ]


def test_what_is_made_of_models_is_of_the_study_and_of_no_experiment(with_models):
    """A pinned model is downloaded once; of five matrices there are a census and figures, and one
    of all of them."""
    found = of_models(files_of(with_models))
    assert Counter(file.path.split("/")[0] for file in found) == {
        "weights": 1,
        "models": 5 * (1 + len(OF_CENSUSES)) + 1,
    }
    (downloaded,) = (file for file in found if file.path == "weights/minilm")
    assert downloaded.bytes == WEIGHTS["minilm"].bytes == 90_868_376 + 466_247
    assert not any(file.run for file in found)
    assert of_models(files_of(with_models, ["one"])) == []
    parts = parts_of(with_models, Path("nowhere"))
    assert (of_models(parts["one"].files), of_models(parts[""].files)) == ([], found)
    assert files_of(with_models, ["one"]) == parts["one"].missing  # the same without models
    assert len(parts[""].missing) == len(parts["one"].missing) + len(found)


def test_of_models_what_is_there_is_subtracted(with_models, tmp_path):
    there = ["weights/minilm", "models/bert/embedding/census.nc"]
    there += [f"models/bert/embedding/{figure}.png" for figure in OF_CENSUSES]
    for path in there:
        put(tmp_path, path, sealed=path.endswith(".nc"))
    put(tmp_path, "models/theirs/embedding/census.nc", sealed=False)
    part = parts_of(with_models, tmp_path)[""]
    assert [file.path for file in part.present] == there
    whole = parts_of(with_models, tmp_path / "elsewhere")[""]
    assert whole.seconds(["models"]) - part.seconds(["models"]) == pytest.approx(
        sum(file.seconds for file in part.present)
    )


def test_a_pinned_model_that_was_examined_is_not_downloaded_again(with_models, tmp_path):
    put(tmp_path, "models/bert/embedding/census.nc")
    part = parts_of(with_models, tmp_path)[""]
    assert "weights/minilm" in [file.path for file in part.missing]
    put(tmp_path, "models/again/embedding/census.nc")
    part = parts_of(with_models, tmp_path)[""]
    (gone,) = (file for file in part.present if file.path == "weights/minilm")
    assert gone.bytes == 0
    put(tmp_path, "weights/minilm", sealed=False)
    part = parts_of(with_models, tmp_path)[""]
    (there,) = (file for file in part.present if file.path == "weights/minilm")
    assert there.bytes == WEIGHTS["minilm"].bytes


def test_the_tables_have_models(with_models, caplog):
    caplog.set_level("INFO")
    call("plan", ["mine.json", "--csv", "plan.csv"])
    found = of_models(files_of(with_models))
    size, seconds = sum(file.bytes for file in found), sum(file.seconds for file in found)
    with open("plan.csv", newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if row["stage"] == "models")
    assert row == {
        "experiment": "",
        "run": "",
        "stage": "models",
        "present": "False",
        "updates": "0",
        "segments": "0",
        "bytes": str(size),
        "seconds": str(round(seconds, 1)),
    }
    lines = [" ".join(line.split()) for line in caplog.text.splitlines()]
    told = f"models {len(found)} {size / 1e6:,.0f} MB {plan.duration(seconds)}"
    assert any(line.endswith(f" {told}") for line in lines)


def test_models_need_room_too(with_models, monkeypatch):
    files = files_of(with_models)
    needed = sum(file.bytes for file in files)
    assert needed > sum(file.bytes for file in files_of(with_models, ["one"])) + 91_000_000
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: usage(needed - 1))
    with pytest.raises(UserError, match=f"needs about {needed:,} bytes"):
        call("plan", ["mine.json"])
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: usage(needed))
    call("plan", ["mine.json"])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5940, "99 min"),
        (6000, "1.7 h"),
        (4e6, "1,111.1 h"),
    ],
)
def test_times_are_told_in_words(seconds, words):
    assert plan.duration(seconds) == words


# CPU seconds of commands on a core of `TYPICAL`, as benchmarks/README.md has them.
FP32 = RunSpec(precision="fp32")
SMALL = RunSpec(width=32, batch=8, context=32, record={"segment": 750})
STUDY = RunSpec(width=32, batch=8, context=32, record={"segment": 1500})
WIDE = RunSpec(record={"segment": 100})
CRUCIBLE = RunSpec(batch=128, context=128, record={"segment": 16})
REPLAYED = RunSpec(record={"tensors": ["grad"]})
TRAINED = [
    *[(RunSpec(), 4096, 30.9), (FP32, 4096, 33.1), (REPLAYED, 4096, 30.9)],
    *[(SMALL, 1024, 11.0), (STUDY, 1024, 17.7), (WIDE, 10_000, 17.5), (CRUCIBLE, 10_000, 30.0)],
]
RUNS = [
    *[(RunSpec(), 4096, 500), (RunSpec(), 4096, 1500), (FP32, 4096, 1500)],
    *[(SMALL, 1024, 1500), (WIDE, 10_000, 200), (REPLAYED, 4096, 500)],
]
MEASURED = {
    "scalars": (1.17, 1.49, 2.72, 0.97, 1.47),
    "freezing": (3.56, 6.37, 8.67, 2.48, 4.95, 7.31),
    "sharpening": (2.89, 6.13, 8.64, 3.13, 2.49, 8.21),
    "drift": (7.30, 11.1, 11.8, 4.98, 11.0, 9.79),
    "indicators": (2.76, 3.25, 5.08, 1.94, 3.28, 6.09),
    "audit": (5.21, 10.6, 15.4, 3.27, 6.10, 5.45),
    "attribution": (6.64, 14.8, 19.0, 4.46, 8.07, 9.17),
    "stillness": (5.66, 11.7, 15.1, 3.95, 8.04, 8.11),
    "gradients": (12.2, 14.7, 17.8, 4.66, 23.4),
    "backprop": (4.86, 7.20, 8.00, 3.28, 9.38),
}
BEGINNINGS = [(RunSpec(), 4096), (SMALL, 1024), (WIDE, 10_000)]
MEASURED_AT_THE_BEGINNING = {
    "initial_softmax": (13.4, 4.60, 28.3),
    "storage": (12.1, 4.38),
    "tensors": (12.2, 4.88),
}


@pytest.mark.parametrize("analysis", MEASURED)
def test_the_time_of_an_analysis_is_that_measured(analysis):
    for run, seconds in zip(RUNS, MEASURED[analysis], strict=False):
        assert seconds / 1.8 < analysis_seconds(analysis, *run) < 1.8 * seconds


@pytest.mark.parametrize("analysis", MEASURED_AT_THE_BEGINNING)
def test_the_time_of_what_looks_at_the_beginning_is_that_measured(analysis):
    assert BENCHMARK_UPDATES == UPDATES
    updates = 0 if analysis == "initial_softmax" else UPDATES
    for run, seconds in zip(BEGINNINGS, MEASURED_AT_THE_BEGINNING[analysis], strict=False):
        assert seconds / 1.3 < analysis_seconds(analysis, *run, updates) < 1.3 * seconds


@pytest.mark.parametrize(("spec", "tokens", "seconds"), TRAINED)
def test_the_time_of_training_is_that_measured(spec, tokens, seconds):
    assert seconds / 1.3 < training_seconds(spec, tokens) < 1.3 * seconds
    assert training_seconds(spec, tokens, SLOW_CORE) > 4 * seconds


# Rows, width and CPU seconds; the third is the GGUF file of SmolLM2, the second that of MiniLM.
EXAMINED = [
    *[(1000, 64, 1.9), (30_522, 384, 5.2), (49_152, 576, 8.2)],
    *[(50_000, 768, 7.4), (152_000, 2560, 33.6), (256_000, 768, 26.8)],
]


@pytest.mark.parametrize(("rows", "width", "seconds"), EXAMINED)
def test_the_time_of_an_examination_is_that_measured(rows, width, seconds):
    assert seconds / 1.4 < examination_seconds(rows, width) < 1.4 * seconds


# Bytes of a model's files, and its embedding: MiniLM, SmolLM2, and as their makers describe them
# GPT-2, Llama 2 7B, Llama 3 8B and 70B, Qwen3 4B, Gemma 7B.
EMBEDDINGS = [
    *[(91e6, 30_522, 384), (98e6, 49_152, 576), (548e6, 50_257, 768)],
    *[(13.5e9, 32_000, 4096), (16.1e9, 128_256, 4096), (141e9, 128_256, 8192)],
    *[(8.05e9, 151_936, 2560), (17.1e9, 256_000, 3072)],
]


@pytest.mark.parametrize(("size", "rows", "width"), EMBEDDINGS)
def test_the_shape_of_an_embedding_is_guessed(size, rows, width):
    """A guess is a matrix of about that size, and its examination takes about that long."""
    found = likely_shape(int(size))
    assert rows * width / 4 < found[0] * found[1] < 4 * rows * width
    seconds = examination_seconds(rows, width)
    assert seconds / 3 < examination_seconds(*found) < 3 * seconds


def test_a_matrix_is_no_larger_than_its_file():
    rows, width = likely_shape(25_600)
    assert (rows, width) == (200, 64)
    assert likely_shape(1) == (1, 1)
    assert likely_shape(0) == USUAL_SHAPE


def by_stage(quantity: str) -> dict[str, float]:
    """Return a sum over the files of the default study, the analyses together."""
    found = Counter()
    for file in files_of(Study(DEFAULT), DEFAULT["experiments"]):
        found["analyses" if file.stage in ANALYSES else file.stage] += getattr(file, quantity)
    return found


def test_the_time_of_the_default_study_is_that_measured():
    analyses = sum(sum(seconds[1:3]) for seconds in MEASURED.values())
    beginnings = sum(seconds[0] for seconds in MEASURED_AT_THE_BEGINNING.values())
    assert by_stage("seconds") == pytest.approx(
        {
            "text": sum((0.2, 0.2, 2.7, 2.5, 1.4)),  # two corpora, tokenizer, stream, census
            "training": 3 * (30.9 + 33.1),
            "analyses": analyses + beginnings,
            "figures": 98.1,
        },
        rel=0.25,
    )


def test_the_bytes_of_the_default_study_are_those_on_disk():
    """Without what is named nowhere: seals, logs, a table beside a file."""
    sizes = {"text": 8_009_410, "analyses": 49_097_896, "figures": 12_670_344}
    sizes["training"] = 5_807_747_406 + 3 * (2_207_408 + 4_405_376)
    assert by_stage("bytes") == pytest.approx(sizes, rel=0.25)


def test_of_a_batch_that_is_cut_a_part_counts():
    assert ANALYSES["backprop"].most_logits == MOST_LOGITS
    whole, cut = (RunSpec(batch=batch, context=128) for batch in (10, 1000))
    seconds = [analysis_seconds("backprop", spec, 10_000, 500) for spec in (whole, cut)]
    assert seconds[0] < seconds[1] < 1.4 * seconds[0]
    seconds = [analysis_seconds("gradients", spec, 10_000, 500) for spec in (whole, cut)]
    assert seconds[1] > 50 * seconds[0]  # negative control: there no batch is cut


def test_it_needs_no_more_than_snakemake_s_environment_has():
    """The rules read a study without torch, numpy and the drawing."""
    code = "import sys, deadtokens.study.plan as _; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert "deadtokens.study.estimates" in loaded
    assert not {"torch", "numpy", "matplotlib"} & loaded
