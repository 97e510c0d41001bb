"""`deadtokens verify` over a whole folder of results: every kind of file, links, closed doors."""

import json
import logging
import os
import shutil

import pytest
import xarray as xr
from planted import planted, write_run
from tiny import tiny_spec

from deadtokens import verify as module
from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.netcdf import write
from deadtokens.seal import seal, seal_path
from deadtokens.verify import verify

SPEC = tiny_spec(record={"segment": 4})
NAME = SPEC.identity()
ABOUT = {"run": NAME, "spec": SPEC.json_text(), "status": "complete", "updates": 4}


@pytest.fixture(autouse=True)
def _log(caplog):
    caplog.set_level(logging.INFO, logger="deadtokens")


@pytest.fixture
def results(tmp_path):
    """Return a folder of sealed results: a segment, two derived files, a text and a vocabulary."""
    results = tmp_path / "results"
    run = results / "runs" / NAME
    write_run(run / "trajectory", planted(4, 6, 3), [0, 4], **ABOUT)
    write(xr.Dataset({"x": ("update", [1.0])}, attrs=ABOUT), run / "steps-4" / "freezing.nc")
    (run / "steps-4" / "audit.json").write_text(json.dumps(ABOUT))
    text = results / "corpora" / "tale-2cf24dba" / "text.txt"  # the SHA-256 of "hello"
    text.parent.mkdir(parents=True)
    (text.parent / "corpus.json").write_text("{}")
    text.write_text("hello")
    for path in (run / "steps-4" / "freezing.nc", run / "steps-4" / "audit.json", text):
        seal(path)
    return results


def said(caplog, *paths):
    """Return what is said of each file, by its name, and how many were looked at and are bad."""
    caplog.clear()
    counts = verify(paths)
    return [record.message for record in caplog.records], counts


def bad(caplog, *paths):
    return [line for line in said(caplog, *paths)[0] if line.startswith("BAD")]


def test_every_kind_of_sealed_file_is_looked_at(results, caplog):
    lines, counts = said(caplog, results)
    run = results / "runs" / NAME
    assert lines == [
        f"ok   {results}/corpora/tale-2cf24dba/text.txt: text of 5 bytes",
        f"ok   {run}/steps-4/audit.json: audit of 4 updates",
        f"ok   {run}/steps-4/freezing.nc: 1 variables",
        f"ok   {run}/trajectory/segment-000.nc: updates 1 to 4, complete",
    ]
    assert counts == (4, 0)


@pytest.mark.parametrize(
    "name", ["steps-4/freezing.nc", "steps-4/audit.json", "trajectory/segment-000.nc"]
)
def test_a_file_of_another_run_is_bad(name, results, caplog):
    other = results / "runs" / tiny_spec(seed=1, record={"segment": 4}).identity()
    shutil.copytree(results / "runs" / NAME, other)
    assert len(bad(caplog, other)) == 3
    (line,) = bad(caplog, other / name)
    assert line.startswith(f"BAD  {other / name}: is of run {NAME}, but lies in the folder of run")


def test_a_text_with_another_letter_is_bad_even_sealed(results, caplog):
    text = results / "corpora" / "tale-2cf24dba" / "text.txt"
    text.write_text("hallo")
    assert "damaged" in bad(caplog, results)[0]
    seal(text)
    assert "is not the text that the name of its folder stands for" in bad(caplog, results)[0]


@pytest.mark.parametrize("name", ["steps-4/freezing.nc", "steps-4/audit.json"])
def test_a_derived_file_that_vanished_or_changed_is_bad(name, results, caplog):
    path = results / "runs" / NAME / name
    content = path.read_bytes()
    path.unlink()
    assert bad(caplog, results) == [
        f"BAD  {path}: missing; run snakemake again, which makes it anew"
    ]
    path.write_bytes(content[:-1])
    assert bad(caplog, results)[0].startswith(f"BAD  {path}: truncated")
    path.unlink()
    path.mkdir()
    assert bad(caplog, results)[0].startswith(f"BAD  {path}: is a folder, where a file should be")


def test_links_are_followed_and_circles_end(results, tmp_path, caplog):
    outside = tmp_path / "disk"
    (results / "runs").rename(outside)
    (results / "runs").symlink_to(outside)
    (outside / NAME / "round").symlink_to(results)
    segment = outside / NAME / "trajectory" / "segment-000.nc"
    _, counts = said(caplog, results)
    assert counts == (4, 0)
    segment.write_bytes(segment.read_bytes()[:-1])
    _, counts = said(caplog, results)
    assert counts == (4, 1)


def test_a_link_to_nothing_is_bad(results, caplog):
    (results / "segment-007.nc").symlink_to(results / "absent")
    assert bad(caplog, results)[0].startswith(f"BAD  {results}/segment-007.nc: missing")


def test_a_folder_that_cannot_be_entered_is_bad(results, caplog, monkeypatch):
    closed, scan = results / "runs", os.scandir

    def scan_or_refuse(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scan_or_refuse)
    lines, counts = said(caplog, results)
    assert lines[-1] == f"BAD  {closed}: cannot be entered (Permission denied)"
    assert counts == (2, 1)
    with pytest.raises(UserError, match="1 of 2 files"):
        call("verify", [str(results)])


def test_a_file_that_cannot_be_read_is_bad(results, caplog, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module, "verdict", refuse)
    lines, counts = said(caplog, results)
    assert all(line.endswith(": cannot be read (Permission denied)") for line in lines)
    assert counts == (4, 4)


def test_a_seal_alone_is_a_file_that_is_missing(results, caplog):
    (results / "poem.txt").write_text("a")
    seal(results / "poem.txt")
    assert said(caplog, results / "poem.txt")[0] == [f"ok   {results}/poem.txt: 1 bytes"]
    (results / "poem.txt").unlink()
    for name in (results, seal_path(results / "poem.txt")):
        assert bad(caplog, name)[0].startswith(f"BAD  {results}/poem.txt: missing")
