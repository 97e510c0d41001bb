"""The PDF: reproducible, true of its data, and safe from what texts hold."""

import copy
import json

import numpy as np
import pytest
from paper.paper_data import CONFIG, HOSTILE, MADE, TEMPLATE, template_with, write_results

from deadtokens.cli import call
from deadtokens.comparison.measures import OUTCOMES
from deadtokens.comparison.members import Experiment, Member
from deadtokens.comparison.outcomes import compare
from deadtokens.errors import UserError
from deadtokens.netcdf import write
from deadtokens.paper.experiments import experiment_tables
from deadtokens.paper.paper import gather
from deadtokens.paper.sources import SHOWN, figure_files, paper_sources
from deadtokens.paper.typeset import typeset
from deadtokens.study.figures import FIGURES
from deadtokens.study.study import Study


def evaluated(status: str, **fields) -> dict:
    """Return what came of a claim, as ``deadtokens claims`` writes it."""
    claim = {"claim": "x", "question": 1, "status": status, "statement": HOSTILE, "number": 0.5}
    claim |= {"low": None, "high": None, "seeds": 1, "runs": 1, "criterion": "above 0 (mean)"}
    said = {"source": HOSTILE, "seen": False, "why": HOSTILE, "of": "", "numbers": "0.5"}
    return claim | said | fields


CLAIMS = {
    "pure-bf16-freezes": evaluated("holds"),
    "thaws-are-real": evaluated("fails", low=0.25, high=0.75, seen=True),
    "freeze-lasts": evaluated("not tested", number=None),
    "rounded-weights-freeze": evaluated("holds", question=7),
}


@pytest.fixture
def results(tmp_path):
    """Return a folder with the outcomes of the study's runs."""
    write_results(tmp_path)
    return tmp_path


@pytest.fixture
def data(results):
    return gather(Study(CONFIG), results, CLAIMS)


def pdf(data, results, template=TEMPLATE) -> bytes:
    typeset(template, data, results, [], results / "paper.pdf")
    return (results / "paper.pdf").read_bytes()


def test_the_same_data_give_the_same_bytes(data, results):
    first = pdf(data, results)
    assert first.startswith(b"%PDF")
    assert pdf(copy.deepcopy(data), results) == first
    other = data | {"claims": data["claims"] | {"freeze-lasts": data["claims"]["thaws-are-real"]}}
    assert pdf(other, results) != first


def test_without_claims_and_derived_files_it_is_written_too(results):
    study = Study(CONFIG | {"experiments": {"regimes": {"figures": []}}})
    assert pdf(gather(study, results, {}), results).startswith(b"%PDF")


def test_numbers_are_those_of_the_files(data):
    (tables,) = data["experiments"]
    assert tables["title"] == HOSTILE
    assert [row["cells"][0] for row in tables["settings"]] == ["1", "0.250"]
    assert [row["cells"] for row in tables["effects"]] == [["−0.750", "–"]]
    numbers = {name: fact["text"] for name, fact in data["numbers"].items()}
    assert numbers["runs"] == "2"
    assert numbers["updates"] == "3,000"
    assert numbers["lr"] == "0.001"
    assert (numbers["claims"], numbers["holds"], numbers["fails"], numbers["not_tested"]) == (
        "4",
        "2",
        "1",
        "1",
    )
    assert numbers["seen"] == "1"
    assert data["makings"] == [MADE | {"runs": "2"}]
    assert all(fact["source"] for fact in data["numbers"].values())
    assert [row["name"] for row in data["regimes"]] == ["pure-bf16", "fp32"]
    assert data["varied"] == [{"key": "precision", "value": "pure-bf16", "others": "fp32"}]


def test_changes_that_change_nothing_are_named(tmp_path):
    """One whose loss differs in its last digit is none."""
    losses = {"pure-bf16": 4.0, "bf16-once": 4.0, "fp32": np.nextafter(4.0, 5)}
    members = []
    for regime, loss in losses.items():
        found = dict.fromkeys(OUTCOMES, (np.nan, "never"))
        found |= {"frozen": (0.5, ""), "loss": (loss, "")}
        members.append(Member(regime, {"precision": regime, "seed": 0}, found))
    path = "experiments/regimes/outcomes.nc"
    write(compare(Experiment(tuple(members))), tmp_path / path)
    (tables,) = experiment_tables(Study(CONFIG), tmp_path, [path])
    assert tables["without_effect"] == ["bf16-once against pure-bf16"]


SENTENCES = 'by-claim("{}", holds: "it holds", fails: "it fails")'
SAID = {"pure-bf16-freezes": "it holds", "thaws-are-real": "it fails"}


@pytest.mark.parametrize("claim", SAID)
def test_the_wording_is_that_of_the_status(claim, data, results):
    said = f'#assert("{SAID[claim]}" in repr({SENTENCES.format(claim)}))'
    assert pdf(data, results, template_with(results, said))
    (other,) = set(SAID.values()) - {SAID[claim]}
    with pytest.raises(UserError, match="assertion failed"):
        pdf(data, results, template_with(results, said.replace(SAID[claim], other, 1)))


@pytest.mark.parametrize("claim", ["freeze-lasts", "no-such-claim"])
def test_of_what_was_not_tested_nothing_is_said(claim, data, results):
    said = f"#assert.eq({SENTENCES.format(claim)}, none)"
    assert pdf(data, results, template_with(results, said))
    tested = said.replace(claim, "pure-bf16-freezes")
    with pytest.raises(UserError, match=r"assertion failed|equality"):
        pdf(data, results, template_with(results, tested))


def test_a_claim_that_has_several_seeds_is_said_with_its_interval(data, results):
    assert data["claims"]["thaws-are-real"]["interval"] == "0.250 to 0.750"
    said = '#assert(data.claims.at("thaws-are-real").interval in repr(value("thaws-are-real")))'
    assert pdf(data, results, template_with(results, said))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('#n("nothing")', "the number nothing has no source"),
        ('#value("nothing")', "the claim nothing has not been evaluated"),
    ],
)
def test_a_number_without_a_source_stops_the_build(text, sentence, data, results):
    with pytest.raises(UserError, match=f"the paper cannot be typeset: .*{sentence}"):
        pdf(data, results, template_with(results, text))


def test_what_texts_hold_is_text(data, results):
    said = '#assert.eq(data.claims.at("freeze-lasts").why, data.experiments.first().title)'
    assert pdf(
        data, results, template_with(results, said + "\n#said(data.claims.values().first())")
    )


THREE = ["pure-bf16", "mixed", "fp32"]


@pytest.mark.parametrize(
    ("second", "shown"),
    [
        ({"seeds": [0]}, set()),
        ({"seeds": [0, 1]}, {"outcomes"}),
        ({"set": {"batch_seed": 0}, "vary": {"batch_seed": [0, 1]}}, {"outcomes"}),
        ({"seeds": [0, 1], "figures": ["effects"]}, {"effects"}),
        ({"seeds": [0, 1], "vary": {"precision": THREE}, "figures": ["remedies"]}, {"remedies"}),
        ({"seeds": [0, 1], "vary": {"beta2": [0.9, 0.99, 0.999]}, "figures": ["sweep"]}, {"sweep"}),
    ],
)
def test_the_paper_shows_one_figure_of_an_experiment_of_several_seeds(second, shown):
    study = Study(CONFIG | {"experiments": {"one": {}, "two": second}})
    assert set(figure_files(study, "one")) == SHOWN
    assert set(figure_files(study, "two")) == shown
    assert set(FIGURES) > SHOWN
    names = {file.rpartition("/")[2] for file in paper_sources(study)}
    assert names >= {"scalars.nc", "audit.json", "outcomes.nc", "census.nc", "freezing.nc"}


def test_the_command_writes_pdf_and_data(results):
    (results / "claims.json").write_text(json.dumps(CLAIMS))
    call(
        "paper",
        [
            *("--study", json.dumps(CONFIG), "--results", str(results)),
            *("--claims", str(results / "claims.json"), "--template", str(TEMPLATE)),
            *("--output", str(results / "paper.pdf")),
        ],
    )
    assert (results / "paper.pdf").read_bytes().startswith(b"%PDF")
    said = json.loads((results / "paper.json").read_text())
    assert said["numbers"]["runs"] == {"text": "2", "source": "the configuration"}


def test_claims_that_were_not_evaluated_are_a_sentence(results):
    with pytest.raises(UserError, match=r"none\.json holds no evaluated claims"):
        call("paper", ["--study", json.dumps(CONFIG), "--results", str(results), "--claims",
                       str(results / "none.json"), "--template", str(TEMPLATE), "--output",
                       str(results / "paper.pdf")])  # fmt: skip
    with pytest.raises(UserError, match="give the configuration's files"):
        call("claims", ["--output", "a.csv", "--json", "a.json"])
