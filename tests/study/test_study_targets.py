"""Which files a study can give, as a call of the workflow may ask for them by path."""

from pathlib import Path

import pytest
from config_data import with_experiment

from deadtokens.errors import UserError
from deadtokens.study.study import Study
from deadtokens.study.targets import LISTED, check_sources, check_targets


def refusal(study: Study, target: str) -> str:
    with pytest.raises(UserError) as caught:
        check_targets(study, [], [target])
    return str(caught.value)


def test_a_record_that_is_kept_has_no_receipt():
    config = with_experiment(seeds=[0], figures=["loss"])
    for keep, figures, refused in (
        ("all", ["loss"], "records are kept; `keep: derived`"),
        ("derived", [], "nothing is read from this record, so it is kept"),
        ("derived", ["loss"], ""),
    ):
        config["experiments"]["one"]["figures"] = figures
        study = Study(config | {"keep": keep, "models": {}})
        (run,) = study.runs
        target = f"results/runs/{run}/released.json"
        if refused:
            assert refusal(study, target).startswith(f"{target}: {refused}")
        else:
            check_targets(study, [], [target])


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Return the path of a model in the folder of a run, from where a study is worked at."""
    config = with_experiment(seeds=[0])
    config["corpora"] = {"mine": {"path": str(tmp_path / "text.txt")}}
    config["vocabularies"] = {
        name: entry | {"tokenizer_corpora": ["mine"], "training_corpus": "mine"}
        for name, entry in config["vocabularies"].items()
    }
    (tmp_path / "text.txt").write_text("In the beginning " * 99)
    monkeypatch.chdir(tmp_path)

    def model_of(run):
        path = Path("results/runs", run, "checkpoints/checkpoint-000.safetensors")
        path.parent.mkdir(parents=True)
        path.touch()
        return config | {"models": {"mine": {"path": str(path)}}}

    return model_of


def test_a_model_of_a_run_that_is_no_longer_configured_is_refused(elsewhere):
    """No rule makes it: Snakemake would look for the run's settings, and end in a KeyError."""
    with pytest.raises(
        UserError, match=r"^models\.mine: results/runs/gone_1/.* has no run 'gone_1'"
    ):
        check_sources(Study(elsewhere("gone_1")), [])


def test_a_model_of_a_run_of_the_study_is_read_by_path(elsewhere):
    (run,) = Study(elsewhere("other")).runs
    check_sources(Study(elsewhere(run)), [])


def test_of_many_names_none_of_which_is_near_some_are_named():
    study = Study(with_experiment(seeds=list(range(LISTED + 2))))
    said = refusal(study, "results/runs/?/steps-500/freezing.nc")
    names = ", ".join(list(study.runs)[:LISTED])
    assert said.endswith(f"the study has no run '?'; known are {names} and 2 more")


def test_where_there_is_none_of_a_kind_that_is_said():
    said = refusal(Study(with_experiment(seeds=[0])), "results/recorded/mine/drift.nc")
    assert said.endswith("the study has no recording 'mine', nor any other")


@pytest.mark.parametrize(
    "target",
    ["all", "draw_loss", "results/claims/claims.csv", "results/models/matrix_cloud.png", "README"],
)
def test_what_names_nothing_of_a_study_passes(target):
    check_targets(Study(with_experiment(seeds=[0])), [], [target])
