"""The predicted size of a record is that of the file that is then written."""

import errno
import os
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from tiny import tiny_spec, write_vocabulary

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.hdf5 import SteadyFile
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec
from deadtokens.study.files import read_configuration
from deadtokens.study.inventory import files_of
from deadtokens.study.plan import sizes
from deadtokens.study.study import Study
from deadtokens.training import size, train
from deadtokens.training.checkpoint import save_checkpoint
from deadtokens.training.segment import record_segment
from deadtokens.training.size import checkpoint_bytes, ensure_room, predicted_bytes
from deadtokens.training.trainer import Trainer

TOKENS = 1500
CONFIG = Path(__file__).parents[2] / "config"


def written_bytes(spec: RunSpec, folder: Path) -> int:
    """Train a segment, as `train_segment` does; return its size."""
    train_segment(spec, folder)
    return (folder / "segment-000.nc").stat().st_size


def train_segment(spec: RunSpec, folder: Path) -> Trainer:
    """Train and record a segment on a Zipfian stream, a quarter of its tokens dead."""
    generator = np.random.default_rng(1)
    live = TOKENS * 3 // 4
    stream = (generator.zipf(1.3, 50_000) % live).astype(np.int32)
    census = xr.Dataset(
        {"dead": ("token", np.arange(TOKENS) >= live)}, coords={"token": np.arange(TOKENS)}
    )
    trainer = Trainer(spec, stream, TOKENS, torch.device("cpu"))
    path = folder / "segment-000.nc"
    record_segment("run", trainer, 0, path, census, {"run": "run"})
    return trainer


@pytest.mark.parametrize("precision", REGIMES)
def test_predictions_hold_within_a_quarter(precision, tmp_path):
    spec = RunSpec(precision=precision, batch=8, width=32, layers=1, record={"segment": 192})
    written = written_bytes(spec, tmp_path)
    assert predicted_bytes(spec, TOKENS) == pytest.approx(written, rel=0.25)


def test_a_compensation_is_part_of_the_prediction(tmp_path):
    tensors = ["W", "grad", "exp_avg", "exp_avg_sq"]
    sizes = {"precision": "bf16-kahan", "batch": 8, "width": 32, "layers": 1}
    with_it, without = (
        RunSpec(**sizes, record={"segment": 128, "tensors": names})
        for names in ([*tensors, "compensation"], tensors)
    )
    written = written_bytes(with_it, tmp_path)
    assert predicted_bytes(with_it, TOKENS) == pytest.approx(written, rel=0.25)
    assert predicted_bytes(without, TOKENS) < 0.85 * written


@pytest.mark.parametrize(("tensors", "width"), [(["W"], 32), (["grad"], 64), (["W", "grad"], 64)])
def test_fewer_tensors_are_predicted_smaller(tensors, width, tmp_path):
    record = {"segment": 128, "tensors": tensors}
    spec = RunSpec(batch=8, width=width, layers=1, record=record)
    written = written_bytes(spec, tmp_path)
    assert predicted_bytes(spec, TOKENS) == pytest.approx(written, rel=0.25)
    # The control: another regime's prediction would not pass.
    other = predicted_bytes(spec.model_copy(update={"precision": "fp32"}), TOKENS)
    assert other != pytest.approx(written, rel=0.25)


@pytest.mark.parametrize("precision", ["pure-bf16", "mixed"])
def test_pathways_are_part_of_the_prediction(precision, tmp_path):
    record = {"segment": 128, "tensors": ["grad"]}
    sizes = {"batch": 8, "width": 64, "layers": 1, "precision": precision}
    one, other = (
        RunSpec(**sizes, record=record | {"pathways": pathways}) for pathways in (False, True)
    )
    written = written_bytes(other, tmp_path)
    assert predicted_bytes(other, TOKENS) == pytest.approx(written, rel=0.25)
    assert predicted_bytes(one, TOKENS) != pytest.approx(written, rel=0.25)


@pytest.mark.parametrize("precision", REGIMES)
@pytest.mark.parametrize("tied", [True, False])
def test_a_checkpoint_is_predicted_but_for_its_header(precision, tied, tmp_path):
    sizes = {"batch": 2, "context": 8, "width": 8, "layers": 3, "record": {"segment": 2}}
    spec, path = RunSpec(precision=precision, tied=tied, **sizes), tmp_path / "a.safetensors"
    save_checkpoint(train_segment(spec, tmp_path), {}, path)
    written = path.read_bytes()
    header = 8 + int.from_bytes(written[:8], "little")  # the format: a length, JSON, the tensors
    assert checkpoint_bytes(spec, TOKENS) == len(written) - header


def test_a_full_disk_is_refused_before_the_training(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(size.shutil, "disk_usage", lambda folder: usage(1000))
    path = tmp_path / "not" / "yet" / "segment-000.nc"
    with pytest.raises(UserError, match=r"segment-000\.nc: the segment needs about [\d,]+ bytes"):
        ensure_room(RunSpec(), TOKENS, path)
    monkeypatch.setattr(size.shutil, "disk_usage", lambda folder: usage(10**12))
    assert ensure_room(RunSpec(), TOKENS, path) == predicted_bytes(RunSpec(), TOKENS)


def test_the_prediction_reaches_the_sentence_on_a_full_disk(tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_vocabulary(tmp_path)
    monkeypatch.setattr(train, "ensure_room", lambda *_: 123_456)
    monkeypatch.setattr(SteadyFile, "check", full)
    options = {
        "name": "run",
        "spec": tiny_spec().json_text(),
        "segment": 0,
        "stream": tmp_path / "stream.nc",
        "census": tmp_path / "census.nc",
        "trajectory": tmp_path / "segment-000.nc",
        "checkpoint": tmp_path / "state-000.safetensors",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with pytest.raises(UserError, match=r"000\.nc: the disk is full: 123,456 bytes are needed"):
        call("train", arguments)
    assert not (tmp_path / "segment-000.nc").exists()


def test_a_study_is_predicted_run_by_run():
    names = ("config.yaml", "study.yaml", "paper.yaml")
    study = Study(read_configuration([CONFIG / name for name in names]))
    predicted = list(sizes(files_of(study, study.experiments)))
    assert len(predicted) == len(study.runs)
    assert {segments for _, segments, _ in predicted} == {10, 40}
    name, _, one = predicted[0]
    assert one == predicted_bytes(study.runs[name], 10_000)


def test_a_missing_configuration_is_told(tmp_path):
    with pytest.raises(UserError, match=r"nope\.yaml: not a readable configuration"):
        read_configuration([tmp_path / "nope.yaml"])
