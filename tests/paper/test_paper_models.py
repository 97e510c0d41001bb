"""The section on examined matrices: planted censuses, their numbers, and the sentences by these."""

import json
import shutil

import numpy as np
import pytest
import typst
from paper.paper_data import CONFIG, TEMPLATE, write_results
from PIL import Image

from deadtokens.cli import call
from deadtokens.matrices.examination import examine
from deadtokens.matrices.indicators import INDICATORS
from deadtokens.matrices.matrix import Array
from deadtokens.matrices.tokenizer import ORDINARY, RESERVED
from deadtokens.matrices.tokens import Tokens
from deadtokens.netcdf import write
from deadtokens.paper.facts import Facts
from deadtokens.paper.models import (
    compared_with_expected,
    examined_models,
    scale_of,
    side_of,
)
from deadtokens.paper.paper import gather
from deadtokens.paper.sources import paper_figures
from deadtokens.paper.typeset import typeset
from deadtokens.study.models import censuses, models_of
from deadtokens.study.study import Study

TOKENS, WIDTH, CLOUD, NEAR, TWINS = 500, 16, 80, 5, 3
HOSTILE = 'W #panic("x") *b* $y$ @nowhere <script>alert(1)</script> \\'
UNSEEN = "\x1b[31m\u202eevil"
OURS = {"experiment": "regimes", "run": {"precision": "pure-bf16"}}
# How the census of a matrix is told, when its numbers are these.
PLANTED = {
    "cloud_radius": 0.25,
    "other_radius": 8.0,
    "cloud_cosine": 0.75,
    "cloud_norm": 8.0,
    "cloud_dimension": 15.5,
    "shell_of_cloud": 0.95,
}
VECTORS = {"cloud_units": np.full(16, 64.0), "other_centroid": np.full(16, 0.5)}  # of norm 2
AREAS = {
    "norm": (0.125, 0.1, 0.15),
    "to_mean": (0.25, 0.2, 0.3),
    "to_reference": (0.5, 0.4, 0.6),
    "cosine": (0.875, 0.75, 0.9375),
    "cosine_without_mean": (0.625, 0.5, 0.75),
    "cosine_without_first": (np.nan, np.nan, np.nan),
}


def examined(name="W", cloud=CLOUD, twins=TWINS, tried=True):
    """Return a matrix: a cloud, NEAR others at its centroid, and `twins` rows with the same bits.

    Of all tokens that are not of the cloud no text gives four, of which three lie in it.
    """
    generator = np.random.default_rng(0)
    rows = generator.normal(0.5, 1, (TOKENS, WIDTH))
    rows[: cloud + NEAR] = 0.01 * rows[: cloud + NEAR] - 3
    rows[cloud : cloud + NEAR] = rows[:cloud].mean(0) if cloud else 7 + np.eye(NEAR, WIDTH)
    rows[TOKENS - twins :] = rows[-1]
    given = np.full(TOKENS, "no" if tried else "unknown", dtype=object)
    if tried:
        given[[*range(cloud), cloud, cloud + 1, cloud + 2, TOKENS - 1]] = "yes"
    tokens = Tokens(
        bytes=[b""] * TOKENS,
        readable=["word"] * TOKENS,
        script=["none"] * TOKENS,
        kind=[RESERVED] * cloud + [ORDINARY] * (TOKENS - cloud),
        unreachable=given.tolist(),
    )
    return examine(Array(name, *rows.shape, "float32", rows.astype(np.float32)), tokens)


def with_numbers(found, **numbers):
    """Return a census with other numbers of its cloud."""
    for name, value in numbers.items():
        found[name] = ((), value) if np.isscalar(value) else (found[name].dims, value)
    return found


def planted(**numbers):
    found = with_numbers(examined(), **PLANTED | VECTORS | numbers)
    for place, end in enumerate(("area", "area_low", "area_high")):
        found[end] = ("indicator", [AREAS[name][place] for name in INDICATORS])
    return found


@pytest.fixture
def study_of(tmp_path):
    """Return a function that writes censuses, with a picture, and returns their study."""

    def made(**found):
        (tmp_path / "model.safetensors").touch()
        entries = {"path": str(tmp_path / "model.safetensors")}
        models = {name: OURS if name == "ours" else entries for name in found}
        study = Study(CONFIG | {"models": models})
        for path, data in zip(censuses(study), found.values(), strict=True):
            write(data.assign_attrs(model=path.split("/")[1]), tmp_path / "results" / path)
        if found:
            picture((tmp_path / "results" / paper_figures(study)[-1]), (100, 100))
        return study

    return made


def picture(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("1", size).save(path.with_suffix(".png"))


# The text that stands in a content, the cells of a table apart.
PLAIN = """
#let plain(it) = {
  if type(it) == str { return it }
  if type(it) == array { return it.map(plain).join(" | ") }
  if type(it) != content { return "" }
  if it.func() == smartquote { return "'" }
  if it.func() == metadata { return "" }
  let fields = it.fields()
  if "text" in fields { return plain(fields.text) }
  if "children" in fields {
    let between = if it.func() in (table, table.header) { " | " } else { "" }
    return fields.children.map(plain).filter(one => one != none).join(between)
  }
  let parts = ("body", "caption", "child").filter(name => name in fields)
  if parts == () { return " " }
  parts.map(name => plain(fields.at(name))).filter(one => one != none).join(" | ")
}
#metadata(plain(include "models.typ")) <said>
"""


def said_of(study, tmp_path) -> str:
    """Return what the section says in plain text."""
    facts = Facts()
    data = {"models": examined_models(facts, study, tmp_path / "results"), "claims": {}}
    folder = tmp_path / "template"
    shutil.copytree(TEMPLATE, folder, dirs_exist_ok=True)
    (folder / "paper.typ").write_text(PLAIN, encoding="utf-8")
    (folder / "data.json").write_text(json.dumps(data | {"numbers": facts.as_json()}))
    found = json.loads(typst.query(folder / "paper.typ", "<said>", field="value", root=folder))
    return " ".join((found[0] or "").replace("\u200b", "").split())


def only(study, tmp_path):
    facts = Facts()
    (one,) = examined_models(facts, study, tmp_path / "results")["matrices"]
    return one


def test_numbers_are_those_of_the_census(study_of, tmp_path):
    one = only(study_of(theirs=planted()), tmp_path)
    assert (one["name"], one["matrix"], one["whose"], one["run"]) == ("theirs", "W", "others", "")
    assert one["source"] == "models/theirs/embedding/census.nc"
    assert (one["rows"], one["components"], one["format"]) == ("500", "16", "float32")
    assert (one["alike"], one["cluster"], one["known"]) == ("8", "5 on 1", "80")
    assert one["norm"] == {"area": "0.125", "interval": "0.100 to 0.150", "of": "norm"}
    assert one["best"] == {"area": "0.875", "interval": "0.750 to 0.938", "of": "cosine"}
    assert one["unreachable"] == "84"
    cloud = one["cloud"]
    assert (cloud["rows"], cloud["kind"], cloud["radius"]) == ("80", "known", "0.250")
    assert (cloud["other_radius"], cloud["cosine"], cloud["dimension"]) == ("8", "0.750", "15.5")
    assert cloud["along"] == "3"
    assert (cloud["in_shell"], cloud["others"], cloud["units"]) == ("95 %", "5", "64")
    expected = {"rows": "4", "none": False, "within": "3", "why": "no text gives"}
    assert cloud["unmet"] == expected


def test_the_section_says_them(study_of, tmp_path):
    said = said_of(study_of(theirs=planted()), tmp_path)
    table = "theirs, of others W | float32 | 500 × 16 | 8 | 5 on 1 | 80 | 0.125 0.100 to 0.150 | "
    assert table + "0.875 cosine 0.750 to 0.938 | 84 | " in said
    clouds = "theirs, of others W | 80 known unused | 0.250 | 8 | 0.750 | 15.5 of 16 | 95 % | 5 | "
    assert clouds + "64 | " in said
    assert "1 matrix can be asked." in said
    assert "cosine (1 - cosine to the mean of the known unused tokens)" in said
    assert (
        "theirs, W, of a model that others have trained. Of its 500 rows 80 are known to be "
        "unused. 95 % of them lie in the shell of a Gaussian start that is carried as a whole, as "
        "many as the 95 % that are expected, in 15.5 of 16 dimensions. Their shell encloses 5 "
        "other rows. Among them are 3 of the 4 other tokens that no text gives. Their centroid "
        "lies on the side of that of all others (cosine 0.750), 3 times as far from zero that way, "
        "and a deviation of 64 units in the median component still tells them apart. The shape is "
        "that of a start carried as a whole, and the place that of rows which the logits push away."
    ) in said


def test_an_area_without_an_interval_keeps_the_name_of_its_indicator(study_of, tmp_path):
    found = planted()
    for end in ("area_low", "area_high"):
        found[end] = found["area"] * np.nan
    said = said_of(study_of(theirs=found), tmp_path)
    assert "5 on 1 | 80 | 0.125 | 0.875 cosine | 84 | " in said


NOT_THE_SHAPE, NOT_THE_PLACE = "The shape is not that of a start", "the place is not that of rows"
BOTH, NEITHER = "and the place that of rows which", "Neither is the shape that of a start"
SENTENCES = {
    "more": ({"shell_of_cloud": 1.0}, "100 % of them lie in", "more than the 95 %", NOT_THE_SHAPE),
    "fewer": ({"shell_of_cloud": 0.5}, "50 % of them lie in", "fewer than the 95 %", NOT_THE_SHAPE),
    "flat": ({"cloud_dimension": 8.0}, "as many as the 95 %", "in 8 of 16 dim", NOT_THE_SHAPE),
    "other": (
        {"cloud_cosine": -0.75},
        "on the other side of zero than that of all others (cosine −0.750), and",
        NOT_THE_PLACE,
    ),
    "nearer": ({"cloud_norm": 2.0}, "0.750 times as far from zero that way", NOT_THE_PLACE),
    "chance": ({"cloud_cosine": 0.25}, "on neither side of that of all others", NOT_THE_PLACE),
    "neither": ({"shell_of_cloud": 0.5, "cloud_cosine": -0.75}, "fewer than", NEITHER),
    "both": ({}, "as many as the 95 %", BOTH),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_a_sentence_stands_where_it_is_true(case, study_of, tmp_path):
    numbers, *sentences = SENTENCES[case]
    said = said_of(study_of(theirs=planted(**numbers)), tmp_path)
    assert all(sentence in said for sentence in sentences), said
    verdicts = {NOT_THE_SHAPE, NOT_THE_PLACE, BOTH, NEITHER}
    assert {one for one in verdicts if one in said} == {sentences[-1]}


def test_below_a_unit_no_start_is_looked_for(study_of, tmp_path):
    said = said_of(study_of(theirs=planted(cloud_units=np.full(WIDTH, 0.5))), tmp_path)
    assert "a deviation of 0.500 units in the median component their differences are below" in said
    assert "of them lie in the shell" not in said
    assert not any(verdict in said for verdict in (NOT_THE_SHAPE, NOT_THE_PLACE, BOTH, NEITHER))


def test_rows_that_share_their_bits_are_called_so(study_of, tmp_path):
    study = study_of(theirs=examined(cloud=0, twins=6))
    one, said = only(study, tmp_path), said_of(study, tmp_path)
    assert (one["cloud"]["kind"], one["cloud"]["rows"], one["known"]) == ("alike", "6", "0")
    assert one["cloud"]["unmet"]["within"] == "0"
    assert "None of its rows is known to be unused; 6 of 500 share their bits" in said
    assert "theirs, of others W | float32 | 500 × 16 | 6 | 6 on 1 | 0 | – | – | 4 |" in said
    assert "No other row lies as near to their centroid as they do." in said


def test_a_matrix_without_a_cloud_is_said_beside_one_that_has_one(study_of, tmp_path):
    said = said_of(study_of(one=planted(), two=examined(cloud=0, twins=1)), tmp_path)
    assert "two, of others W | float32 | 500 × 16 | 0 | – | 0 | – | – | 4 |" in said
    assert "It has no cloud: 0 of its rows are known to be unused, and 0 share their bits." in said
    assert said.count("It has no cloud") == 1 and "What a training's start" in said
    assert "2 matrices can be asked." in said


def test_where_no_matrix_has_a_cloud_nothing_is_said_of_clouds(study_of, tmp_path):
    study = study_of(theirs=examined(cloud=0, twins=1))
    said = said_of(study, tmp_path)
    assert "No matrix has enough rows" in said and "Fishing for Magikarp" in said
    assert "What a training's start explains" not in said
    assert examined_models(Facts(), study, tmp_path / "results")["pictures"] == []


def test_what_was_left_out_is_said(study_of, tmp_path):
    found = planted().drop_vars("cluster").assign_attrs(left_out="near rows: too *many*")
    said = said_of(study_of(theirs=found), tmp_path)
    assert "Of theirs, W, this was left out: near rows: too *many*." in said
    assert "this was left out" not in said_of(study_of(theirs=planted()), tmp_path)


def test_of_a_record_those_that_stood_in_no_batch_are_counted(study_of, tmp_path):
    found = planted()
    kinds = np.where(found["known"].values, "dead", "ordinary").astype(object)
    kinds[[80, 82, TOKENS - 1]] = "never sampled"  # of which two lie in the cloud
    found["kind"] = ("token", kinds)
    found["unreachable"] = ("token", np.full(TOKENS, "unknown", dtype=object))
    study = study_of(ours=found)
    assert only(study, tmp_path)["cloud"]["unmet"]["why"] == "stood in no batch"
    said = said_of(study, tmp_path)
    assert "Among them are 2 of the 3 other tokens that stood in no batch." in said


def test_where_no_text_was_tried_nothing_is_counted(study_of, tmp_path):
    study = study_of(theirs=examined(tried=False))
    assert only(study, tmp_path)["unreachable"] == "–"
    assert only(study, tmp_path)["cloud"]["unmet"] is None
    assert "5 other rows, and whether a text gives their tokens is not" in said_of(study, tmp_path)


def test_where_every_other_token_has_its_text_none_is_counted(study_of, tmp_path):
    found = planted()
    found["unreachable"] = ("token", np.where(found["known"], "yes", "no").astype(object))
    said = said_of(study_of(theirs=found), tmp_path)
    assert "and no other token is known that no text gives." in said


def test_whose_a_matrix_is_can_be_seen(study_of, tmp_path):
    study = study_of(ours=planted(), theirs=planted())
    said, run = said_of(study, tmp_path), models_of(study)["ours"].member.run
    assert f"ours, W, of this study's run {run}." in said
    assert "ours, trained here W" in said and "theirs, of others W" in said
    assert said.count("of this study's run") == 1


def test_names_are_text_whatever_they_hold(study_of, tmp_path):
    found = planted().assign_attrs(matrix=HOSTILE, format="<b>", left_out=HOSTILE)
    said = said_of(study_of(theirs=found), tmp_path)
    name = HOSTILE.replace("\\", "\\\\")
    assert f"theirs, of others {name} | <b> | 500" in said
    assert f"Of theirs, {name}, this was left out: {HOSTILE}." in said
    assert said.count(name) == 4


def test_what_cannot_be_seen_is_escaped_and_what_never_ends_is_cut(study_of, tmp_path):
    one = only(study_of(theirs=planted().assign_attrs(matrix=UNSEEN + 1000 * "a")), tmp_path)
    assert one["matrix"].startswith("\\x1b[31m\\u202eevilaaa") and len(one["matrix"]) == 60
    assert one["matrix"].endswith("a…")


def test_a_study_without_models_has_no_such_section(study_of, tmp_path):
    study, facts = Study(CONFIG), Facts()
    assert examined_models(facts, study, tmp_path)["matrices"] == []
    assert facts.as_json() == {} and said_of(study, tmp_path) == ""
    assert "Embeddings of trained models" in said_of(study_of(theirs=planted()), tmp_path)


@pytest.mark.parametrize(
    ("models", "figures"),
    [
        ([], []),
        (["ours"], ["models/ours/W/matrix_cloud.pdf"]),
        (["ours", "theirs"], ["models/matrix_cloud.pdf"]),
    ],
)
def test_one_picture_has_all_clouds(models, figures, study_of, tmp_path):
    study = study_of(**{name: planted() for name in models})
    assert [file for file in paper_figures(study) if "matrix_cloud" in file] == figures
    shown = examined_models(Facts(), study, tmp_path / "results")["pictures"]
    assert [one["file"] for one in shown] == figures
    assert all(one["caption"].startswith("Where the unused rows of matrices lie") for one in shown)
    assert all("left of 1, rows that differed are the same." in one["caption"] for one in shown)


def test_a_picture_that_is_too_tall_is_named(study_of, tmp_path):
    study = study_of(one=planted(), two=planted())
    named = "The clouds are drawn in results/models/matrix_cloud.pdf"
    assert named not in said_of(study, tmp_path)
    picture(tmp_path / "results" / "models" / "matrix_cloud.pdf", (100, 200))
    assert named in said_of(study, tmp_path)
    assert examined_models(Facts(), study, tmp_path / "results")["pictures"] == []


def test_the_whole_paper_is_typeset_with_it(study_of, tmp_path):
    results = tmp_path / "results"
    write_results(results)
    names = {"theirs": planted().assign_attrs(matrix=HOSTILE), "ours": planted()}
    study = study_of(**names)
    files = [str(results / path) for path in censuses(study)]
    drawn = results / "models" / "matrix_cloud.png"
    drawn.unlink()
    call("figure", ["matrix_cloud", *files, "--output", str(drawn)])
    data = gather(study, results, {})
    assert data["numbers"]["matrices"] == {"text": "2 matrices", "source": "the configuration"}
    assert data["numbers"]["inside"]["text"] == data["numbers"]["level"]["text"] == "95 %"
    sizes = []
    for models in (data["models"], data["models"] | {"matrices": []}):
        figures = [one["file"] for one in models["pictures"]]
        typeset(TEMPLATE, data | {"models": models}, results, figures, results / "paper.pdf")
        sizes.append(len((results / "paper.pdf").read_bytes()))
    assert sizes[0] > sizes[1] + 10_000


def test_sides_are_told_from_chance():
    assert [side_of(cosine, 100) for cosine in (0.21, 0.19, -0.19, -0.21, np.nan)] == [
        "same",
        "neither",
        "neither",
        "other",
        "neither",
    ]
    assert side_of(0.21, 64) == "neither"


def test_shares_are_compared_within_two_standard_errors():
    """Of 475 rows one standard error is a hundredth."""
    shares = {0.9299: "fewer", 0.9301: "as many", 0.9699: "as many", 0.9701: "more"}
    assert {share: compared_with_expected(share, 475) for share in shares} == shares
    assert compared_with_expected(0.9, 19) == "as many"


def test_a_unit_is_enough():
    found = [scale_of(one) for one in (0.0, 0.99, 1.0, np.nan)]
    assert found == ["below", "below", "above", "unknown"]
