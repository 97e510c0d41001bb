import json

import pytest
from figures.figure_data import misplaced_texts, shown_texts

from deadtokens.errors import UserError
from deadtokens.figures import audit


def tally(compared, differing):
    return {"compared": compared, "differing": differing, "first": None}


def write(folder, run, **settings):
    path = folder / f"{run}.json"
    content = {
        "run": run,
        "spec": json.dumps(settings),
        "status": "complete",
        "tensors": {"W": tally(1000, 0), "exp_avg": tally(1000, 2)},
        "checksums": {},
        "controls": {"one flipped bit": tally(10**6, 1), "<$\\frac{ = wrong": tally(50, 50)},
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def table(tmp_path):
    paths = [write(tmp_path, precision, precision=precision) for precision in ("fp32", "mixed")]
    return audit.RECIPE.table(audit.open_audits(paths))


def test_numbers_are_those_of_the_files(table):
    mixed = table[table["label"] == "mixed"]
    assert mixed["check"].tolist() == [
        "the run's own update",
        "control: one flipped bit",
        "control: <$\\frac{ = wrong",
    ]
    assert mixed["compared"].tolist() == [2000, 10**6, 50]
    assert mixed["differing"].tolist() == [2, 1, 50]
    assert mixed["fraction"].tolist() == [0.001, 1e-6, 1.0]


def test_it_is_drawn_with_its_result(table):
    figure = audit.RECIPE.draw(table)
    texts = shown_texts(figure)
    assert "replays: 4 of 4,000 recorded values differ" in texts
    assert {"fp32", "mixed"} <= set(texts)
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0.001, 1e-6, 1.0]] * 2
    assert not misplaced_texts(figure)


def test_a_file_that_is_no_audit_is_told(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(UserError, match=r"a\.json is no audit of a run"):
        audit.open_audits([path])


def test_checksums_are_counted_apart(tmp_path):
    path = write(tmp_path, "fp32", precision="fp32")
    content = json.loads(path.read_text())
    content["tensors"] = {}
    content["checksums"] = {"W": tally(60, 0) | {"values": 900}, "exp_avg": tally(60, 3)}
    path.write_text(json.dumps(content))
    both = [path, write(tmp_path, "mixed", precision="mixed")]
    drawn = audit.RECIPE.table(audit.open_audits(both))
    proof = drawn[drawn["check"] == "the same, by checksums"]
    assert proof[["label", "compared", "differing"]].values.tolist() == [["fp32", 120, 3]]
    figure = audit.RECIPE.draw(drawn)
    result = (
        "replays: 2 of 2,000 recorded values and 3 of 120 checksums of values not recorded differ"
    )
    assert result in shown_texts(figure)
    assert not misplaced_texts(figure)
