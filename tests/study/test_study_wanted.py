"""Which figures an experiment has follows from what it varies and records."""

import json
from pathlib import Path

import pytest
from config_data import with_experiment

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.paper.sources import paper_sources
from deadtokens.study.figures import FIGURES, Scope
from deadtokens.study.inventory import files_of
from deadtokens.study.needed import read_from_records
from deadtokens.study.study import Study
from deadtokens.study.wanted import check_figures, drawn_figures, is_compared, varied

COMPARISONS = {name for name, source in FIGURES.items() if source.scope is Scope.EXPERIMENT}
REGIMES = ["pure-bf16", "mixed", "fp32"]


def study(**experiment) -> Study:
    return Study(with_experiment(**experiment))


@pytest.mark.parametrize(
    ("experiment", "figures"),
    [
        ({"seeds": [0, 1]}, {"outcomes", "effects"}),
        ({"vary": {"precision": REGIMES[:2]}}, {"outcomes", "effects", "walls"}),
        ({"vary": {"precision": REGIMES}}, {"outcomes", "effects", "walls", "remedies"}),
        ({"vary": {"beta2": [0.9, 0.99, 0.999]}}, {"outcomes", "effects", "walls", "sweep"}),
        (
            {"vary": {"precision": REGIMES, "beta1": [0.9, 0]}, "seeds": [0, 1]},
            {"outcomes", "effects", "walls", "factorial"},
        ),
        (
            {"vary": {"precision": REGIMES}, "set": {"record.tensors": ["W"]}},
            {"outcomes", "effects", "remedies"},
        ),
        (
            {"vary": {"precision": REGIMES}, "figures": ["remedies", "loss"]},
            {"remedies"},
        ),
    ],
)
def test_the_figures_of_a_comparison_follow_from_what_it_varies(experiment, figures):
    assert COMPARISONS & set(drawn_figures(study(**experiment), "one")) == figures


def test_factors_are_keys_in_place_of_the_precision():
    cells = ["mixed-bf16", "mixed-bf16-weights", "bf16-moments", "mixed"]
    square = {"vary": {"precision": cells}, "factors": ["weights", "moments"], "seeds": [0]}
    found = varied(study(**square), "one")
    assert found.keys == ("weights", "moments")
    two = ("bfloat16", "float32")
    assert found.settings == tuple((weights, moments) for weights in two for moments in two)
    assert COMPARISONS & set(drawn_figures(study(**square), "one")) == {
        *("outcomes", "effects", "factorial", "walls")
    }


def test_outcomes_are_made_where_any_of_their_figures_is_drawn():
    assert is_compared(study(figures=["outcomes"]), "one")
    assert not is_compared(study(figures=["loss"]), "one")
    stages = [file.stage for file in files_of(study(figures=["outcomes", "effects"]), ["one"])]
    assert stages.count("outcomes") == 1
    assert stages.count("figures") == 2


def test_the_lengths_of_runs_vary_too():
    found = varied(study(vary={"steps": [500, 1500]}, seeds=[0, 1]), "one")
    assert found.keys == ("steps",)
    assert found.settings == (("500",), ("500",), ("1500",), ("1500",))


def test_a_run_counts_as_far_as_any_experiment_takes_it():
    config = with_experiment(vary={"steps": [1500, 500]}, seeds=[0, 1])
    config["experiments"]["longer"] = {"set": {"steps": 3000}, "seeds": [1, 2]}
    found = Study(config)
    by_seed = {found.runs[run].seed: updates for run, updates in found.updates.items()}
    assert by_seed == {0: 1500, 1: 3000, 2: 3000}


@pytest.mark.parametrize(
    ("experiment", "sentence"),
    [
        (
            {"figures": ["loss", "sweep"], "vary": {"lr": [0.1, 0.2]}},
            "experiments.one.figures: 'sweep' needs an experiment that varies a number over 3 "
            "values or more while all else is equal",
        ),
        (
            {"figures": ["walls"], "seeds": [0, 1]},
            "experiments.one.figures: 'walls' needs an experiment that varies two settings or more",
        ),
        (
            {"figures": ["shares"], "set": {"record.tensors": ["W"]}},
            "experiments.one.figures: 'shares' is drawn from the gradients, which no run of the "
            "experiment records; add 'grad' to record.tensors",
        ),
    ],
)
def test_a_figure_that_an_experiment_cannot_have_is_refused(
    experiment, sentence, tmp_path, monkeypatch
):
    with pytest.raises(UserError) as caught:
        check_figures(study(**experiment))
    assert str(caught.value) == sentence
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_text(json.dumps(with_experiment(**experiment)))
    with pytest.raises(UserError) as caught:
        call("plan", ["mine.json"])
    assert str(caught.value) == sentence


def test_each_mistake_has_its_sentence():
    with pytest.raises(UserError) as caught:
        check_figures(study(figures=["sweep", "remedies", "factorial", "loss"]))
    assert len(str(caught.value).splitlines()) == 3


def test_the_papers_scalars_are_read_before_a_record_is_released():
    """Whatever else is drawn: the paper says of each run where it was made."""
    one = study(figures=["frozen"])
    ((run, files),) = read_from_records(one).items()
    assert {Path(file).name for file in files} == {"freezing.nc", "scalars.nc"}
    assert {*paper_sources(one)} & {*files} >= {file for file in files if "scalars" in file}
    assert run in files[0]
