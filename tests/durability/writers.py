"""One writer of every kind of file, and what runs them where the system refuses something."""

import os
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import style  # noqa: F401  read now: a child who is nobody may not read its folder
from matplotlib.figure import Figure
from PIL import Image
from planted import planted, write_run
from tiny import tiny_trainer
from tokenizers import Tokenizer, models

from deadtokens import netcdf
from deadtokens.errors import UserError
from deadtokens.figures.product import Product
from deadtokens.files import complete_or_absent
from deadtokens.seal import seal
from deadtokens.text import census
from deadtokens.training.checkpoint import save_checkpoint

NOBODY = 65534
NUMBERS = np.random.default_rng(0).random(3000)


def write_tokenizer(path: Path) -> None:
    words = {f"word {index}": index for index in range(500)}
    with complete_or_absent(path) as temporary:
        Tokenizer(models.WordLevel(words, "word 0")).save(str(temporary))


def write_picture(path: Path) -> None:
    frames = [Image.effect_noise((64, 64), 50) for _ in range(3)]
    with complete_or_absent(path) as temporary:
        frames[0].save(temporary, save_all=True, append_images=frames[1:])


def write_figure(path: Path) -> None:
    Product("loss", path.with_suffix("")).write(Figure(), pd.DataFrame({"x": NUMBERS}))


def write_census(path: Path) -> None:
    columns = ("token_bytes", "why_dead", "script", "token_string")
    counts = ("count", "length_bytes", "length_characters", "merge_rank", "token")
    texts = {name: ("token", np.full(500, "text")) for name in columns}
    numbers = {name: ("token", np.arange(500)) for name in counts}
    dead = {"dead": ("token", np.zeros(500, bool))}
    census.write_csv(xr.Dataset(texts | numbers | dead), path)


def write_seal(path: Path) -> None:
    seal(path.with_name(path.name.removesuffix(".seal.json")))


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "NetCDF": ("drift.nc", lambda path: netcdf.write(xr.Dataset({"x": ("x", NUMBERS)}), path)),
    "segment": (
        "segment-000.nc",
        lambda path: write_run(path.parent, planted(9, 300, 3), [0, 9]),
    ),
    "checkpoint": ("c.safetensors", lambda path: save_checkpoint(tiny_trainer(), {}, path)),
    "tokenizer": ("tokenizer.json", write_tokenizer),
    "CSV": ("census.csv", write_census),
    "figure": ("figure.csv", write_figure),
    "GIF": ("drift.gif", write_picture),
}


def said_by(writer: str, folder: Path) -> str:
    """Return the sentence in which a writer ends, 'written' if it ends well."""
    name, write = WRITERS[writer]
    try:
        write(folder / name)
    except UserError as error:
        return str(error)
    return "written"


def write_with_limit(writer: str, folder: Path, limit: int, answer: Connection) -> None:
    """Let a writer meet the limit on the size of files; send what it says."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    answer.send(said_by(writer, folder))


def write_as_nobody(writer: str, folder: Path, answer: Connection) -> None:
    """Let a writer be a user who owns nothing; send what it says."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    answer.send(said_by(writer, folder))
