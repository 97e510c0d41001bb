"""One command from a record to its page: what can be said is said, what cannot is named."""

import html
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from foreign_records import HOSTILE, make_record
from house import REPOSITORY
from tiny import train_run

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.report import analyse as report
from deadtokens.report import attempts
from deadtokens.report.attempts import ANALYSES, DRAWN_FROM
from deadtokens.trajectory.reader import open_run

OF_GRADIENTS = {"audit", "shares", "ages", "causes"}


def analyse(folder, *arguments) -> str:
    """Return the page on a record."""
    call("analyse", [str(folder), *arguments])
    return (folder / "analysis" / "report.html").read_text(encoding="utf-8")


def said(page: str, part: str = "") -> str:
    """Return the text of a page, or of one part of it."""
    body = page.partition("<body>")[2]
    if part:
        body = body.partition(f"<h2>{part}</h2>")[2].partition("<h2>")[0]
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r'src="data:[^"]*"', "", body)))


def pictures(page: str) -> set[str]:
    return set(re.findall(r'<figure id="(\w+)">\n<img alt="\w+" src="data:image/\w+;base64,', page))


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    """Return an analysed bfloat16 recording and the page on it."""
    folder = tmp_path_factory.mktemp("analysed") / f"re cord <i> {HOSTILE.replace('/', '')[:20]}"
    make_record(folder, updates=24, segment=8, dtype=torch.bfloat16)
    return folder, analyse(folder)


def test_everything_is_made(analysed):
    folder, page = analysed
    made = {path.name for path in (folder / "analysis").iterdir() if path.is_file()}
    seals = {f"{file}.seal.json" for file in ANALYSES.values()}
    assert made == {*ANALYSES.values(), *seals, "report.html", "analysis.json"}
    drawn = {path.stem for path in (folder / "analysis" / "figures").glob("*.png")}
    assert drawn == set(DRAWN_FROM) - {"loss"}
    assert pictures(page) == drawn | {"animation"}


def test_numbers_are_those_of_the_record(analysed):
    folder, page = analysed
    run = open_run(folder)
    W = run["W"].values[:, run["dead"].values]
    frozen = (W[1:] == W[:-1]).all(axis=2).mean(axis=1)
    text = said(page, "What it comes to")
    expected = f"{frozen[-3:].mean():.3f}" if frozen[-3:].any() else "0"
    assert f"mean over the last tenth of the updates   {expected}" in re.sub(r"\s{2,}", "   ", text)
    recorded = said(page, "What was recorded")
    assert "torch.optim.adamw.AdamW" in recorded
    assert "40 of 40, of 6 components" in recorded
    assert "W (bfloat16), grad (bfloat16), exp_avg (bfloat16)" in recorded
    replay = said(page, "Which update gives its bits")
    values = f"{3 * 24 * 40 * 6:,} recorded values"
    assert f"All {values} are given back, bit for bit, by torch's single" in replay
    assert "one flipped bit" in replay


def test_nothing_that_a_name_holds_gets_into_the_page(analysed):
    folder, page = analysed
    assert f"<h1>The record {html.escape(folder.name)}</h1>" in page
    assert "<script" not in page
    assert "<i>" not in page
    assert not re.findall(r"<img (?!alt=\"\w+\" src=\"data:)", page)
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")


FEW = ("loss", "frozen", "sharpening", "directions", "endpoint", "audit", "shares", "causes")


@pytest.fixture
def few_figures(monkeypatch):
    """Draw few figures; return those that a recording can have."""
    few = {name: DRAWN_FROM[name] for name in FEW}
    monkeypatch.setattr(attempts, "DRAWN_FROM", few)
    monkeypatch.setattr(report, "DRAWN_FROM", few)
    return set(few) - {"loss"} | {"animation"}


def test_what_a_recording_of_dead_rows_cannot_say_is_named(few_figures, tmp_path):
    make_record(tmp_path / "dead", rows="dead", unembedding=False)
    page = analyse(tmp_path / "dead")
    assert "10 of 40, of 6 components" in said(page)
    left_out = said(page, "What cannot be said, and why")
    assert "the mean hidden state was not recorded" in left_out
    assert "figure loss: the loss is not recorded" in left_out
    assert pictures(page) == few_figures


@pytest.mark.parametrize("optimizer", ["rmsprop", "amsgrad"])
def test_an_unknown_update_stops_nothing_else(optimizer, few_figures, tmp_path):
    make_record(tmp_path / "mine", optimizer=optimizer)
    page = analyse(tmp_path / "mine")
    left_out = said(page, "What cannot be said, and why")
    assert len(re.findall("(?:audit|attribution|stillness): run mine: torch.optim", left_out)) == 3
    assert "as their analysis is missing: audit, shares, causes" in left_out
    assert pictures(page) == few_figures - OF_GRADIENTS
    assert not (tmp_path / "mine" / "analysis" / "audit.json").exists()
    assert "<h2>Which update gives its bits</h2>" not in page


def test_sgd_is_replayed(few_figures, tmp_path):
    make_record(tmp_path / "mine", optimizer="sgd", unembedding=False)
    page = analyse(tmp_path / "mine")
    assert "recorded values are given back, bit for bit, by torch's single" in said(page)
    assert "sgd has no second moment" in said(page, "What cannot be said, and why")
    assert "causes" in pictures(page)


def test_a_run_of_ours_is_analysed_too(few_figures, tmp_path):
    train_run(tmp_path, 2)
    for path in tmp_path.glob("checkpoint-*"):
        path.unlink()
    page = analyse(tmp_path)
    assert "Replayed from the first state and the gradients: 0 of" in said(page)
    assert "loss" in pictures(page)
    assert not (tmp_path / "recording.json").exists()


@pytest.fixture
def quick(monkeypatch):
    """Leave out what takes long."""
    monkeypatch.setattr(attempts, "ANALYSES", {"freezing": "freezing.nc"})
    monkeypatch.setattr(attempts, "DRAWN_FROM", {"frozen": "freezing.nc"})


def test_a_fault_stops_nothing_else_and_is_told(quick, monkeypatch, tmp_path, caplog):
    make_record(tmp_path / "mine")
    monkeypatch.setattr(attempts, "ANALYSES", {"drift": "drift.nc", "freezing": "freezing.nc"})

    def faulty(command, arguments):
        if command == "drift":
            raise ZeroDivisionError("<b>planted</b>")
        call(command, arguments)

    monkeypatch.setattr(attempts, "call", faulty)
    page = analyse(tmp_path / "mine")
    assert pictures(page) == {"frozen"}
    assert "drift: a fault of the program (ZeroDivisionError: <b>planted</b>)" in said(page)
    assert "<b>" not in page
    assert "Traceback" in caplog.text


def test_again_replaces_its_own_files_and_no_others(quick, tmp_path):
    folder = tmp_path / "mine"
    go_on = make_record(folder)
    first = analyse(folder)
    (folder / "analysis" / "notes.txt").write_text("mine")
    go_on(6)
    second = analyse(folder)
    assert "6: 1 to 6" in said(first)
    assert "12: 1 to 12" in said(second)
    assert (folder / "analysis" / "notes.txt").read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.html").write_text("somebody's")
    with pytest.raises(UserError, match=r"report.html: was not made by `deadtokens analyse`"):
        call("analyse", [str(folder), "--output", str(other)])
    assert [path.name for path in other.iterdir()] == ["report.html"]


def test_what_says_what_a_recording_holds_is_written_where_it_is_missing(quick, tmp_path):
    make_record(tmp_path / "mine")
    path = tmp_path / "mine" / "recording.json"
    before = json.loads(path.read_text())
    path.unlink()
    analyse(tmp_path / "mine")
    assert json.loads(path.read_text()) == before


def test_no_record_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no segment of a trajectory"):
        call("analyse", [str(tmp_path / "nowhere")])
    assert not (tmp_path / "nowhere").exists()
    make_record(tmp_path / "mine")
    segment = tmp_path / "mine" / "segment-001.nc"
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    with pytest.raises(UserError, match="damaged, its bytes are not those that were sealed"):
        call("analyse", [str(tmp_path / "mine")])
    shutil.rmtree(tmp_path / "mine")
    assert np.sum([path.is_dir() for path in tmp_path.iterdir()]) == 0


def test_without_the_libraries_of_the_figures_there_is_a_page_and_a_sentence(tmp_path):
    """In a process of its own: what is imported once stays."""
    make_record(tmp_path / "mine")
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('matplotlib', 'seaborn', 'PIL')))\n"
        "from deadtokens.cli import call\n"
        "call('analyse', sys.argv[1:])\n"
    )
    path = os.pathsep.join([str(REPOSITORY / "workflow"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", script, str(tmp_path / "mine")]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": path})
    made = tmp_path / "mine" / "analysis"
    page = said((made / "report.html").read_text(encoding="utf-8"))
    assert page.count("which is not installed: pip install 'deadtokens[figures]'") == 1
    assert not (made / "figures").exists()
    assert (made / "freezing.nc").exists()
