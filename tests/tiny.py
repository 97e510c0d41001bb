"""Small runs and small texts that the tests share."""

from pathlib import Path

import numpy as np
import torch
import xarray as xr

from deadtokens.run.layout import segment_name
from deadtokens.run.spec import RunSpec
from deadtokens.text.read import digest
from deadtokens.training.segment import train_segment
from deadtokens.training.trainer import Trainer

VOCABULARY = 23
LIVE = 17


def tiny_spec(**fields) -> RunSpec:
    """Return the spec of a run of a few thousand parameters."""
    sizes = {"batch": 3, "context": 6, "width": 8, "layers": 1, "heads": 2}
    record = {"record": {"segment": 4}}
    return RunSpec.model_validate(sizes | record | fields)


def tiny_stream(length: int = 400) -> np.ndarray:
    """Return token ids of which those from LIVE on never occur."""
    generator = np.random.default_rng(5)
    return generator.integers(0, LIVE, length).astype(np.int32)


def tiny_census(size: int = VOCABULARY) -> xr.Dataset:
    """Return a census of `size` tokens; the strings are hostile."""
    count = np.bincount(tiny_stream(), minlength=size)
    strings = [f"\\x{index:02x}<ก>$" for index in range(size)]
    return xr.Dataset(
        {
            "token_string": ("token", np.array(strings)),
            "count": ("token", count),
            "dead": ("token", count == 0),
        },
        coords={"token": np.arange(size)},
    )


def write_vocabulary(folder: Path, size: int = VOCABULARY) -> None:
    """Write stream.nc and census.nc as the text stage does."""
    stream = tiny_stream()
    about = {"stream_sha256": digest(stream), "vocabulary_size": size}
    dataset = xr.Dataset({"token": ("position", stream)}, attrs=about)
    dataset.to_netcdf(folder / "stream.nc", engine="h5netcdf")
    census = tiny_census(size).assign_attrs(about)
    census["why_dead"] = ("token", np.where(census.dead, "other script", ""))
    census.to_netcdf(folder / "census.nc", engine="h5netcdf")


def tiny_trainer(**fields) -> Trainer:
    """Return a trainer at state 0, on the CPU."""
    return Trainer(tiny_spec(**fields), tiny_stream(), VOCABULARY, torch.device("cpu"))


def train_run(
    folder: Path, segments: int, size: int = VOCABULARY, **fields
) -> tuple[list[Path], list[Path], Path]:
    """Train and record so many segments; return their files, the checkpoints, and the stream."""
    write_vocabulary(folder, size)
    paths = [folder / segment_name(index) for index in range(segments)]
    checkpoints = [folder / f"checkpoint-{index:03d}.safetensors" for index in range(segments)]
    for index, previous in enumerate([None, *checkpoints[:-1]]):
        files = (folder / "stream.nc", folder / "census.nc", previous)
        train_segment("tiny", tiny_spec(**fields), index, *files, paths[index], checkpoints[index])
    return paths, checkpoints, folder / "stream.nc"


def bits(values) -> np.ndarray:
    """Return the bit patterns of float32 values."""
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
