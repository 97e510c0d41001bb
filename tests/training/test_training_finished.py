"""A segment that a job has finished stays when the job is tried again, and no other does."""

import shutil
from pathlib import Path

import pytest
import xarray as xr
from tiny import VOCABULARY, tiny_spec, write_vocabulary

from deadtokens.run import machine
from deadtokens.seal import seal, seal_path
from deadtokens.training import segment as training
from deadtokens.training.segment import train_segment

CODE = "0123456789ab"


def train(folder: Path, number: int, spec=None, code=CODE, elsewhere=False) -> None:
    """Train a segment of the run in `folder`."""
    previous = folder / f"checkpoint-{number - 1:03d}.safetensors" if number else None
    train_segment(
        "tiny", spec or tiny_spec(), number, folder / "stream.nc", folder / "census.nc", previous,
        folder / f"segment-{number:03d}.nc", folder / f"checkpoint-{number:03d}.safetensors",
        elsewhere=elsewhere, code=code,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of two segments of a run."""
    folder = tmp_path_factory.mktemp("run")
    write_vocabulary(folder)
    for number in range(2):
        train(folder, number)
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """Return a copy that a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def trainings(monkeypatch):
    """Return the list that grows by a segment's number when one is trained."""
    begun, record = [], training.record_segment

    def noting(name, trainer, number, *others):
        begun.append(number)
        record(name, trainer, number, *others)

    monkeypatch.setattr(training, "record_segment", noting)
    return begun


def content(folder: Path) -> dict[str, object]:
    """Return the checkpoints' bytes and the records' values: chunks are written in any order."""
    values = {path.name: xr.load_dataset(path) for path in folder.glob("segment-*.nc")}
    return values | {path.name: path.read_bytes() for path in folder.glob("*.safetensors*")}


def assert_same(one: dict[str, object], other: dict[str, object]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        same = value.identical if isinstance(value, xr.Dataset) else value.__eq__
        assert same(other[name]), name


def test_what_is_finished_stays(folder, trainings, caplog):
    caplog.set_level("INFO")
    before = content(folder)
    for number in range(2):
        train(folder, number)
    assert trainings == []
    assert_same(content(folder), before)
    assert "train tiny: segment 1 is finished; it stays as it is" in caplog.text


def test_a_chain_goes_on_where_it_was_ended(folder, trainings):
    """The segment that was being trained has no file, or one without a checkpoint behind it."""
    before = content(folder)
    for name in ("checkpoint-001.safetensors", "checkpoint-001.safetensors.seal.json"):
        (folder / name).unlink()
    for number in range(2):
        train(folder, number)
    assert trainings == [1]
    assert_same(content(folder), before)


def without(name):
    return lambda folder: (folder / name).unlink()


def flip_a_bit(folder):
    path = folder / "segment-001.nc"
    bits = bytearray(path.read_bytes())
    bits[len(bits) // 2] ^= 1
    path.write_bytes(bits)


def take_another_census(folder):
    write_vocabulary(folder, VOCABULARY + 1)


DAMAGES = {
    "no record": without("segment-001.nc"),
    "no seal": lambda folder: seal_path(folder / "segment-001.nc").unlink(),
    "no checkpoint": without("checkpoint-001.safetensors"),
    "a flipped bit": flip_a_bit,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_not_whole_is_trained_again(folder, trainings, damage):
    before = content(folder)
    damage(folder)
    train(folder, 1)
    assert trainings == [1]
    assert_same(content(folder), before)


def test_ended_between_record_and_checkpoint_nothing_of_another_training_counts(
    folder, trainings, monkeypatch
):
    """Its record stands beside the other's checkpoint, which is none from then on."""
    with monkeypatch.context() as patch:
        patch.setattr(training, "save_checkpoint", end)
        with pytest.raises(KeyboardInterrupt):
            train(folder, 1, code="ba9876543210")
    train(folder, 1)
    assert trainings == [1, 1]


def end(*_):
    raise KeyboardInterrupt


def test_other_code_or_none_trains_again(folder, trainings):
    train(folder, 0, code="ba9876543210")
    train(folder, 0, code="")
    train(folder, 0, code="")
    assert trainings == [0, 0, 0]


def test_another_spec_trains_again(folder, trainings):
    train(folder, 0, spec=tiny_spec(lr=0.02))
    assert trainings == [0]


def test_another_census_trains_again(folder, trainings):
    take_another_census(folder)
    train(folder, 0)
    assert trainings == [0]


def test_another_checkpoint_before_it_trains_again(folder, trainings):
    """As after the segment before was trained anew, by code that this one does not know of."""
    train(folder, 0, code="ba9876543210")
    train(folder, 1)
    assert trainings == [0, 1]


def test_another_segment_under_its_name_trains_again(folder, trainings):
    for kind in ("segment-00{}.nc", "checkpoint-00{}.safetensors"):
        shutil.copy(folder / kind.format(0), folder / kind.format(1))
        seal(folder / kind.format(1))
    train(folder, 1)
    assert trainings == [1]


def test_on_another_machine_it_stays_only_if_that_is_allowed(folder, trainings, monkeypatch):
    monkeypatch.setattr(machine, "processor_name", lambda: "Abacus 1")
    train(folder, 0, elsewhere=True)
    assert trainings == []
    train(folder, 0)
    assert trainings == [0]
