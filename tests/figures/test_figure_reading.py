"""Figures draw from files as they were written, of the run and the updates of their folder."""

import json

import pytest
import xarray as xr

from deadtokens.errors import UserError
from deadtokens.figures import audit
from deadtokens.figures.inputs import open_dataset
from deadtokens.netcdf import write
from deadtokens.run.spec import RunSpec
from deadtokens.seal import seal, seal_path

SPEC, OTHER = RunSpec(), RunSpec(seed=1)
TALLY = {"compared": 10, "differing": 0}
AUDIT = {"tensors": {"W": TALLY}, "checksums": {}, "controls": {"none": TALLY}}


def about(spec=SPEC, updates=500, **more):
    return {
        "run": spec.identity(),
        "spec": spec.json_text(),
        "status": "complete",
        "updates": updates,
    } | more


def write_loss(folder, **attributes):
    path = folder / "scalars.nc"
    write(xr.Dataset({"loss": ("update", [1.0])}, attrs=attributes), path)
    return path


def write_audit(folder, **attributes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "audit.json").write_text(json.dumps(AUDIT | attributes))
    return folder / "audit.json"


KINDS = {
    "NetCDF": (write_loss, lambda path: open_dataset(path, ["loss"], ["run"])),
    "JSON": (write_audit, lambda path: audit.open_audits([path])),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results" / "runs" / SPEC.identity() / "steps-500"


def test_what_was_made_for_its_folder_is_drawn(kind, folder):
    write_file, read = kind
    read(write_file(folder, **about()))
    read(write_file(folder, **about(updates=7, status="diverged", diverged_at=8)))


def test_a_copy_elsewhere_is_drawn(kind, tmp_path):
    write_file, read = kind
    path = write_file(tmp_path / "mine", **about(updates=7))
    seal_path(path).unlink(missing_ok=True)
    read(path)


WRONG = {
    "another run": (about(OTHER), "is of run seed-1_.*, but lies in the folder of run default_"),
    "another spec": (about(OTHER) | {"run": SPEC.identity()}, "its spec is that of"),
    "fewer updates": (about(updates=400), "is made from 400 updates, but its folder is that of"),
    "more updates": (about(updates=1000), "is made from 1000 updates"),
    "diverged later": (about(status="diverged"), "is made from 500 updates"),
    "no updates": (about(updates="many"), "is made from many updates"),
    "no run": ({"spec": SPEC.json_text()}, "does not say of which run it is"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_not_of_its_folder_is_told(wrong, kind, folder):
    write_file, read = kind
    attributes, sentence = WRONG[wrong]
    with pytest.raises(UserError, match=sentence):
        read(write_file(folder, **attributes))


def test_what_was_sealed_is_read_as_it_was(kind, folder):
    write_file, read = kind
    path = write_file(folder, **about())
    seal(path)
    read(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=rf"{path.name}: truncated.*which makes it anew"):
        read(path)
    path.write_bytes(whole.replace(b"complete", b"diverged"))
    with pytest.raises(UserError, match=rf"{path.name}: damaged"):
        read(path)


def test_a_folder_in_place_of_a_file_is_told(kind, folder):
    write_file, read = kind
    path = write_file(folder, **about())
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=rf"{path.name}: is a folder, where a file should be"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe{}", b'{"run": 7}'])
def test_what_is_no_audit_is_told(content, tmp_path):
    (tmp_path / "audit.json").write_bytes(content)
    with pytest.raises(UserError, match=r"audit\.json is no audit of a run"):
        audit.open_audits([tmp_path / "audit.json"])


@pytest.mark.parametrize("kind", ["tensors", "checksums", "controls"])
@pytest.mark.parametrize(
    "content", [None, 7, {"W": 7}, {"W": {}}, {"W": TALLY | {"compared": "x"}}]
)
def test_tallies_that_are_none_are_told(kind, content, tmp_path):
    path = write_audit(tmp_path, **about())
    path.write_text(json.dumps(AUDIT | about() | {kind: content}))
    with pytest.raises(UserError, match=f"'{kind}' holds no tallies"):
        audit.open_audits([path])
