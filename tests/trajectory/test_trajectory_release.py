"""A record is removed when what is read from it is sealed, and not before."""

import json

import pytest

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.seal import complete_and_sealed, seal_path


@pytest.fixture
def run(tmp_path):
    """Return the folder of a run: two segments, two checkpoints, two derived files."""
    for name in (
        *("trajectory/segment-000.nc", "trajectory/segment-001.nc"),
        *("checkpoints/checkpoint-000.safetensors", "checkpoints/checkpoint-001.safetensors"),
        *("steps-6/freezing.nc", "steps-6/audit.json"),
    ):
        path = tmp_path / "a run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with complete_and_sealed(path) as temporary:
            temporary.write_bytes(name.encode() * 100)
    return tmp_path / "a run"


def record(run):
    return sorted([*run.glob("trajectory/*.nc"), *run.glob("checkpoints/*.safetensors")])[::-1]


def release(run):
    derived = [path for path in sorted(run.glob("steps-6/*")) if "seal" not in path.name]
    words = [*record(run), "--derived", *derived, "--output", run / "released.json"]
    call("release", list(map(str, words)))


def files(run):
    return sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())


def test_a_record_goes_with_its_seals_and_what_is_derived_stays(run):
    derived = [name for name in files(run) if name.startswith("steps-6")]
    names = [path.relative_to(run).as_posix() for path in record(run)]
    release(run)
    assert files(run) == ["released.json", *derived]
    assert json.loads((run / "released.json").read_text()) == {
        "released": names,
        "derived": ["steps-6/audit.json", "steps-6/freezing.nc"],
    }


def damaged(path):
    path.write_bytes(path.read_bytes() + b" ")


def unsealed(path):
    seal_path(path).unlink()


@pytest.mark.parametrize("damage", [damaged, unsealed])
def test_nothing_goes_before_its_readers_are_sound(damage, run):
    damage(run / "steps-6" / "freezing.nc")
    before = files(run)
    with pytest.raises(UserError, match=r"freezing\.nc: (truncated|damaged|not sealed)"):
        release(run)
    assert files(run) == before


def test_a_release_that_was_interrupted_is_finished(run):
    (run / "trajectory" / "segment-000.nc").unlink()
    names = [path.relative_to(run).as_posix() for path in record(run)]
    release(run)
    assert record(run) == []
    assert json.loads((run / "released.json").read_text())["released"] == names
