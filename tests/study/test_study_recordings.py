"""Recordings in the configuration: found, held to what they are, drawn as far as they can be."""

import fcntl
import json
import re
import shutil

import pytest
from config_data import with_experiment
from foreign_records import make_record

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.recording.contents import FILE, Contents, read_contents
from deadtokens.study.config import Recorded
from deadtokens.study.figures import ANIMATION, FIGURES, OUTCOMES, Source
from deadtokens.study.inventory import files_of
from deadtokens.study.needed import read_from_records
from deadtokens.study.recordings import resolve
from deadtokens.study.study import Study
from deadtokens.study.wanted import (
    check_figures,
    derived_files,
    drawn_figures,
    drawn_files,
    is_compared,
    recorded_files,
)

OF_EVERY_RECORDING = {
    *("frozen", "still", "displacement", "phases", "survival", "forecast", "ulps", "strata"),
    *("sharpening", "path", "scree", "directions", "dependence", "bulk", "endpoint"),
    "indicator_history",
}
OF_GRADIENTS = {"audit", "shares", "ages", "causes"}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Return a folder with recordings of several kinds, which no test changes."""
    folder = tmp_path_factory.mktemp("records")
    for optimizer in ("adamw", "sgd", "rmsprop", "amsgrad"):
        make_record(folder / optimizer, optimizer=optimizer)
    return folder


def configured(entries: dict, **experiment) -> dict:
    return with_experiment(**experiment) | {"recorded": entries}


def study(records, *names: str, **experiment) -> Study:
    recorded = {name: {"path": str(records / name)} for name in names}
    return Study(configured(recorded, recorded=list(names), **experiment))


def contents(**fields) -> dict:
    plain = {"vocabulary_size": 9, "rows": 9, "width": 2, "updates": 3, "changing": []}
    plain["every_update"] = True
    rule = {"optimizer": "adamw", "name": "AdamW", "implementation": "single", "options": {}}
    held = {"tensors": ["W", "grad"], "per_update": [], "numbers": {"weight_decay": 0.0}}
    return plain | held | {"rule": rule} | fields


def test_what_a_recording_holds_stands_beside_it(records):
    found = read_contents(records / "adamw")
    assert (found.vocabulary_size, found.rows, found.width, found.updates) == (40, 40, 6, 6)
    assert found.tensors == ["W", "grad", "exp_avg", "exp_avg_sq"]
    assert {"lr", "h_mean", "probability", "weight_decay"} <= set(found.per_update)
    assert found.rule["name"] == "torch.optim.adamw.AdamW"
    assert (found.numbers["beta2"], found.numbers["weight_decay"]) == (0.999, 0.01)
    assert found.every_update
    assert found.changing == []
    assert read_contents(records / "sgd").numbers["eps"] is None


def test_numbers_that_change_are_named(tmp_path):
    go_on = make_record(tmp_path / "mine", updates=4)
    assert read_contents(tmp_path / "mine").updates == 4
    go_on(5)
    assert read_contents(tmp_path / "mine").updates == 9
    assert read_contents(tmp_path / "mine").changing == []
    path = tmp_path / "mine" / FILE
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"numbers": said["numbers"] | {"beta1": 0.8}}))
    go_on(4)
    assert read_contents(tmp_path / "mine").changing == ["beta1"]


def test_a_study_finds_the_finished_segments(records):
    found = study(records, "adamw").recordings["adamw"]
    names = [f"{records}/adamw/segment-00{number}.nc" for number in (0, 1)]
    assert found.segments == tuple(names)
    assert found.bytes == sum((records / name).stat().st_size for name in names)
    assert (found.title, found.being_written, found.is_elsewhere) == ("adamw", False, False)


def test_an_experiment_of_recordings_has_no_runs_unless_it_says_so(records):
    assert study(records, "adamw").experiments["one"].members == ()
    assert study(records, "adamw").members == ()
    beside = study(records, "adamw", vary={"precision": ["mixed", "fp32"]}, seeds=[0])
    assert len(beside.experiments["one"].members) == 2
    assert len(study(records, "adamw", runs=[{}]).experiments["one"].members) == 1
    assert len(Study(with_experiment()).experiments["one"].members) == 1


@pytest.mark.parametrize(
    ("names", "figures"),
    [
        (["adamw"], OF_EVERY_RECORDING | OF_GRADIENTS),
        (["sgd"], OF_EVERY_RECORDING | OF_GRADIENTS),
        (["rmsprop"], OF_EVERY_RECORDING),
        (["amsgrad"], OF_EVERY_RECORDING),
        (["rmsprop", "sgd"], OF_EVERY_RECORDING | OF_GRADIENTS),
    ],
)
def test_figures_follow_from_what_is_recorded(names, figures, records):
    one = study(records, *names)
    assert set(drawn_figures(one, "one")) == figures
    assert not is_compared(one, "one")
    expected = [f"recorded/{name}/audit.json" for name in names if name in ("adamw", "sgd")]
    assert list(recorded_files(one, FIGURES["audit"], "one")) == expected
    check_figures(one)


def test_outcomes_and_claims_are_of_the_runs_alone(records):
    one = study(records, "adamw", seeds=[0, 1])
    assert "outcomes" in drawn_figures(one, "one")
    assert list(derived_files(one, OUTCOMES, "one")) == ["experiments/one/outcomes.nc"]
    assert not recorded_files(one, OUTCOMES, "one")
    freezing = drawn_files(one, Source("freezing.nc"), "one")
    assert [path.partition("/")[0] for path in freezing] == ["runs", "runs", "recorded"]
    read = [path for paths in read_from_records(one).values() for path in paths]
    assert read
    assert not any(path.startswith("recorded") for path in read)
    assert not any(path.startswith("recorded") for path in drawn_files(one, FIGURES["loss"], "one"))


@pytest.mark.parametrize(
    ("figure", "name", "sentence"),
    [
        ("shares", "rmsprop", "rmsprop: torch.optim.rmsprop.RMSprop is no optimizer whose update"),
        ("audit", "amsgrad", "amsgrad: torch.optim.adamw.AdamW with amsgrad remembers the largest"),
        ("loss", "adamw", "adamw: its loss is not recorded"),
        ("gradient_flow", "adamw", "adamw: it takes the whole model, and a recording has one"),
        (
            "outcomes",
            "adamw",
            "it is of runs of the study, and the experiment has recordings alone",
        ),
    ],
)
def test_a_figure_that_no_recording_gives_is_refused(figure, name, sentence, records):
    with pytest.raises(UserError, match=re.escape(sentence)) as caught:
        check_figures(study(records, name, figures=[figure]))
    assert str(caught.value).startswith(f"experiments.one.figures: {figure!r} cannot be drawn: ")


def test_gradients_decay_and_options_decide(tmp_path):
    def why_not(file: str, **fields) -> str:
        (tmp_path / FILE).write_text(json.dumps(contents(**fields)))
        return resolve("recorded.x", Recorded(path=str(tmp_path)), "x").why_not(file)

    adam = contents()["rule"] | {"optimizer": "adam", "name": "Adam"}
    assert why_not("attribution.nc") == ""
    assert why_not("attribution.nc", tensors=["W"]) == (
        "it takes the gradients, which are not recorded"
    )
    assert why_not("stillness.nc", rule=adam) == ""
    part = "the weight decay of Adam is a part of its gradients"
    assert why_not("stillness.nc", rule=adam, numbers={"weight_decay": 0.1}) == part
    assert why_not("stillness.nc", rule=adam, changing=["weight_decay"]) == part
    assert why_not("audit.json", rule=adam, numbers={"weight_decay": 0.1}) == ""
    assert why_not("freezing.nc", tensors=["W"]) == ""
    some = "it takes every update, and not each is recorded"
    assert why_not("sharpening.nc", every_update=False) == some
    assert why_not("audit.json", every_update=False) == some
    assert why_not("drift.nc", every_update=False) == ""
    assert why_not("indicators.nc", tensors=["W"], every_update=False) == ""
    rows = "it takes all rows of W, and not each is recorded"
    assert why_not("indicators.nc", rows=8) == rows
    assert why_not("drift.nc", rows=8) == why_not("attribution.nc", rows=8) == ""


MISTAKES = {
    "no folder": ({"path": "nowhere"}, "recorded.mine.path: 'nowhere' is no folder; looked for"),
    "empty": ({"path": "empty"}, "recorded.mine.path: 'empty' has no segment of a recording"),
    "a run": (
        {"path": "runs/default_039c71be/trajectory"},
        "recorded.mine.path: 'runs/default_039c71be/trajectory' has the record of a run of a study",
    ),
    "unsealed": ({"path": "unsealed"}, "segment-001.nc is not sealed, so it may be incomplete"),
    "silent": ({"path": "silent"}, "`deadtokens analyse silent` writes it anew"),
    "damaged": ({"path": "damaged"}, "does not say what the recording holds"),
    "an option": ({"path": "-x"}, "recorded.mine.path: must be a path, which does not begin"),
    "a brace": ({"path": "{good}"}, "recorded.mine.path: has a brace, which Snakemake takes for a"),
    "a control character": ({"path": "a\nb"}, "cannot be printed; leave it out of the path"),
    "a long title": ({"path": "good", "title": "x" * 201}, "recorded.mine.title: 201 characters"),
    "an unknown key": ({"path": "good", "pth": 1}, "recorded.mine.pth: unknown key; did you mean"),
    "no path": ({}, "recorded.mine.path: this key is missing"),
}


@pytest.fixture
def place(records, tmp_path, monkeypatch):
    """Return a folder with sound and unsound recordings, in which the test stands."""
    monkeypatch.chdir(tmp_path)
    for name in ("good", "unsealed", "silent", "damaged", "runs/default_039c71be/trajectory"):
        shutil.copytree(records / "adamw", tmp_path / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "unsealed" / "segment-001.nc.seal.json").unlink()
    (tmp_path / "damaged" / FILE).write_text("[]")
    for name in ("silent", "runs/default_039c71be/trajectory"):
        (tmp_path / name / FILE).unlink()
    return tmp_path


@pytest.mark.parametrize(("entry", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_a_sentence(entry, sentence, place):
    with pytest.raises(UserError, match=re.escape(sentence)) as caught:
        Study(configured({"mine": entry}))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["a/b", "default_039c71be", "../x", "", "A b"])
def test_names_are_names(name, place):
    with pytest.raises(UserError, match="must consist of lower-case letters, digits and hyphens"):
        Study(configured({name: {"path": "good"}}))


@pytest.mark.parametrize(
    ("recorded", "experiment", "sentence"),
    [
        (
            {"mine": {"path": "good"}},
            ["min"],
            "experiments.one.recorded: 'min' is not an entry of ",
        ),
        ({"mine": {"path": "good"}}, ["mine"] * 2, "experiments.one.recorded: names 'mine' twice"),
        (
            {"mine": {"path": "good"}, "too": {"path": "empty/../good"}},
            ["mine"],
            "recorded.too.path: is the folder of recorded.mine too; keep one of them",
        ),
    ],
)
def test_names_are_held_to_each_other(recorded, experiment, sentence, place):
    with pytest.raises(UserError, match=re.escape(sentence)):
        Study(configured(recorded, recorded=experiment))


def test_one_that_is_being_written_counts_as_far_as_it_is_finished(place, caplog):
    (place / "unsealed" / ".lock").touch()
    (place / "empty" / ".lock").touch()
    with (place / "unsealed" / ".lock").open() as lock, (place / "empty" / ".lock").open() as other:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_EX)
        found = Study(configured({"mine": {"path": "unsealed"}})).recordings["mine"]
        with pytest.raises(UserError, match="'empty' is being written and has no finished segment"):
            Study(configured({"mine": {"path": "empty"}}))
    assert found.being_written
    assert found.segments == ("unsealed/segment-000.nc",)


def test_only_what_was_derived_may_be_here(place):
    for path in (place / "good").glob("segment-*"):
        path.unlink()
    found = Study(configured({"mine": {"path": "good"}})).recordings["mine"]
    assert found.is_elsewhere
    assert isinstance(found.contents, Contents)


def test_the_plan_has_recordings(place, caplog):
    config = configured({"mine": {"path": "good"}}, recorded=["mine"])
    (place / "mine.json").write_text(json.dumps(config))
    caplog.set_level("INFO")
    call("plan", ["mine.json"])
    assert "recorded.mine: good, 6 updates, 0 MB; it is read, not made" in caplog.text
    files = files_of(Study(config), ["one"])
    made = {file.path for file in files if file.path.startswith("recorded/")}
    derived = {"freezing.nc", "sharpening.nc", "drift.nc", "audit.json", "attribution.nc"}
    derived |= {"stillness.nc", "indicators.nc"}
    assert made == {f"recorded/mine/{name}" for name in derived}
    pictures = OF_EVERY_RECORDING | OF_GRADIENTS | {ANIMATION}
    assert sum(file.stage == "figures" for file in files) == len(pictures)
    assert not any(file.run for file in files)
