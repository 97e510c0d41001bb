"""Only what the workflow makes anew is to be removed: no recording, and no file of the user's."""

import re
from pathlib import Path

import pytest
import torch
import xarray as xr
from foreign_records import make_record
from house import REPOSITORY
from planted import planted, write_run

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.freezing.freezing import measure_freezing
from deadtokens.remedy import is_made_anew
from deadtokens.seal import check_seal, seal
from deadtokens.verify import verify_results

RUN = "batch-2_0123abcd"
NAMES = {
    "run": RUN,
    "corpus": "tale-0123abcd",
    "vocabulary": "bpe-290-0123abcd",
    "segment": "012",
    "steps": "6",
    "recording": "mine",
    "model": "m",
    "matrix": "W",
    "experiment": "regimes",
}
COMMANDS = (
    *("scalars", "freezing", "sharpening", "drift", "indicators"),
    *("audit", "attribution", "stillness"),
)


@pytest.fixture
def run(tmp_path):
    tensors = planted(9, 30, 3) | {"W": torch.ones(10, 30, 3, dtype=torch.bfloat16)}
    write_run(tmp_path / "run", tensors, [0, 4, 9], device="cpu")
    return tmp_path / "run"


@pytest.fixture
def recording(tmp_path):
    make_record(tmp_path / "results" / "recorded" / "mine", updates=8)
    return tmp_path / "results" / "recorded" / "mine"


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def sealed_by_rules() -> list[str]:
    """Return what the rules seal, each with some names in the place of wildcards."""
    rules = "".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    calls = re.findall(r"\*\*(?:sealed|kept_if_finished)\(([^)]*)\)", rules)
    return [path.format(**NAMES) for one in calls for path in re.findall('"(results/.*?)"', one)]


def test_whatever_a_rule_seals_is_made_anew():
    sealed = sealed_by_rules()
    assert len(sealed) > 25
    assert [path for path in sealed if not is_made_anew(Path(path))] == []


@pytest.mark.parametrize(
    "path",
    [
        f"backup/{RUN}/trajectory/segment-000.nc",
        "results/runs/mine/trajectory/segment-000.nc",
        f"results/runs/{RUN}/segment-000.nc",
        f"results/runs/{RUN}/steps-6/segment-000.nc",
        f"results/runs/{RUN}/trajectory",
        "results/recorded/mine/segment-000.nc",
        "results/benchmarks/mine/storage.nc",
        "results/models/mine/model.safetensors",
        "results/tale.txt",
        "tale.txt",
    ],
)
def test_nothing_else_is(path):
    assert not is_made_anew(Path(path))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("trajectory/segment-001.nc", ": it is made anew from the checkpoint before it"),
        ("steps-6/freezing.nc", ", which makes it anew"),
    ],
)
def test_a_damaged_result_is_to_be_removed(name, how, tmp_path):
    path = tmp_path / "results" / "runs" / RUN / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    seal(path)
    flip_a_byte(path)
    with pytest.raises(UserError, match=f"sealed; remove it and run snakemake again{how}$"):
        check_seal(path)
    path.unlink()
    with pytest.raises(UserError, match=r"missing; run snakemake again, which makes it anew$"):
        check_seal(path)
    path.mkdir()
    with pytest.raises(UserError, match=r"be; give the file, or move the folder away$"):
        check_seal(path)


def test_a_damaged_recording_is_to_be_restored(recording, tmp_path):
    path = recording / "segment-001.nc"
    flip_a_byte(path)
    sentence = (
        f"{path}: damaged, its bytes are not those that were sealed; "
        "it cannot be made again: restore a copy of it"
    )
    assert verify_results(recording) == {path: sentence}
    for fails in (
        lambda: measure_freezing(recording),
        lambda: call("analyse", [str(recording), "--output", str(tmp_path / "page")]),
        lambda: call("freezing", [str(recording), "--output", str(tmp_path / "o.nc")]),
    ):
        with pytest.raises(UserError) as caught:
            fails()
        assert str(caught.value) == sentence


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_takes_the_folder_of_the_segments(command, recording, tmp_path):
    name = "o.json" if command == "audit" else "o.nc"
    ways = {"folder": [recording], "files": sorted(recording.glob("segment-*.nc"))}
    assert len(ways["files"]) == 2
    for way, given in ways.items():
        (tmp_path / way).mkdir()
        call(command, [*map(str, given), "--output", str(tmp_path / way / name)])
    folder, files = (tmp_path / way / name for way in ways)
    if command == "audit":
        assert folder.read_text() == files.read_text()
    else:
        loaded = (xr.load_dataset(path, engine="h5netcdf") for path in (folder, files))
        xr.testing.assert_identical(*loaded)


def test_a_folder_without_segments_is_named(tmp_path):
    with pytest.raises(UserError, match=rf"^{tmp_path}: no segment of a trajectory"):
        call("freezing", [str(tmp_path), "--output", str(tmp_path / "o.nc")])


def test_what_is_no_segment_is_told_what_is_expected(run, tmp_path):
    tale, derived = tmp_path / "tale.txt", tmp_path / "freezing.nc"
    tale.write_text("the cat")
    call("freezing", [str(run), "--output", str(derived)])
    for given in ([tale], [derived], [run, tale], [tmp_path / "absent.nc"]):
        with pytest.raises(UserError) as caught:
            call("freezing", [*map(str, given), "--output", str(tmp_path / "o.nc")])
        assert str(caught.value) == (
            f"{given[0]}: is no segment of a run; give its segments (.../trajectory/segment-*.nc), "
            "or the one folder that has them"
        )
