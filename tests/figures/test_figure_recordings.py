"""Recordings of other trainings in figures: by their names, and never more than was recorded."""

import json
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from figures.figure_data import freezing, scalars, shown_texts

from deadtokens.cli import call
from deadtokens.figures import audit, frozen, runs
from deadtokens.figures.command import make
from deadtokens.netcdf import write

RULE = {"optimizer": "adamw", "name": "AdamW", "implementation": "single", "options": {}}


def recorded(data: xr.Dataset, name: str = "mine") -> xr.Dataset:
    """Return what was derived from a run as if it were from a recording."""
    attributes = {key: value for key, value in data.attrs.items() if key != "spec"}
    size = data.sizes.get("token", 5)
    about = {"recorded": json.dumps(RULE), "run": name, "vocabulary_size": size}
    return data.assign_attrs({}).drop_attrs(deep=False).assign_attrs(attributes | about)


def test_a_recording_goes_by_its_name_behind_the_runs():
    settings = [{"precision": "fp32"}, {"precision": "mixed"}]
    own = [scalars([1.0], run=f"r{place}", **one) for place, one in enumerate(settings)]
    found = runs.experiment(
        [recorded(scalars([1.0]), "a"), *own, recorded(scalars([1.0]), "mixed")]
    )
    assert [run.label for run in found] == ["mixed", "fp32", "a", "mixed (recorded)"]
    assert [run.identity for run in found[2:]] == ["recorded/a", "recorded/mixed"]
    assert [run.regime for run in found[2:]] == ["", ""]


def test_what_varies_is_of_the_runs_alone():
    (run, _) = runs.experiment([scalars([1.0], precision="fp32", lr=1), recorded(scalars([1.0]))])
    assert run.label == "fp32"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("results/recorded/mine", "mine"), ("recorded/mine", "as recorded"), ("x", "as recorded")],
)
def test_it_is_called_as_the_configuration_calls_it(folder, name, tmp_path):
    path = tmp_path / folder / "scalars.nc"
    write(recorded(scalars([1.0]), "as recorded"), path)
    (data,) = runs.open_runs([path], ["loss"])
    assert data.attrs["run"] == name


def draw(recipe, tmp_path, *datasets) -> tuple[pd.DataFrame, list[str]]:
    """Return the table and the texts of a figure that is drawn into files."""
    shown = []
    paths = [tmp_path / f"{place}.nc" for place in range(len(datasets))]
    for path, data in zip(paths, datasets, strict=True):
        write(data, path)
    output = tmp_path / "figure.png"
    drawn = recipe.draw
    watched = recipe.__class__(
        **vars(recipe) | {"draw": lambda table: shown.append(drawn(table)) or shown[-1]}
    )
    make(watched, Namespace(files=paths, output=output, title="ours", called=[]))
    return pd.read_csv(output.with_suffix(".csv")), [text for one in shown for text in _all(one)]


def _all(figure) -> list[str]:
    return [*shown_texts(figure), *(artist.get_text() for artist in figure.texts + figure.artists)]


def test_what_cannot_be_had_of_one_is_said_and_the_rest_is_drawn(tmp_path):
    values = [(1 / 3, 0.1)] * 4
    lacking = recorded(freezing(values)).drop_vars("frozen_fraction")
    table, texts = draw(frozen.RECIPE, tmp_path, freezing(values, precision="fp32"), lacking)
    assert set(table["label"].dropna()) == {"fp32"}
    assert "ours; what it shows cannot be had of: mine" in " ".join(texts).replace("\n", " ")


def test_a_figure_of_nothing_recorded_says_so_and_is_replaced_by_one_that_has_something(tmp_path):
    values = [(1 / 3, 0.1)] * 4
    lacking = recorded(freezing(values)).drop_vars("frozen_fraction")
    table, texts = draw(frozen.RECIPE, tmp_path, lacking)
    assert table.empty
    assert not texts  # the recipe itself drew nothing
    table, _ = draw(frozen.RECIPE, tmp_path, recorded(freezing(values)))
    assert set(table["label"].dropna()) == {"mine"}


def test_rows_and_updates_that_are_not_recorded_are_said(tmp_path):
    data = recorded(freezing([(1 / 3, 0.1)] * 4)).assign_attrs(vocabulary_size=50_257)
    data = data.assign_coords(update=[1, 2, 4, 8])
    _, texts = draw(frozen.RECIPE, tmp_path, data)
    below = " ".join(texts).replace("\n", " ")
    assert f"mine: {data.sizes['token']} of 50,257 rows are recorded" in below
    assert "mine: not each update is recorded, a step may be over several" in below


def audited(**fields) -> dict:
    def tally(differing: int) -> dict:
        return {"compared": 100, "differing": differing, "largest_ulps": 1}

    tried = {
        "single": {"tensors": {"W": tally(0), "exp_avg": tally(0)}, "identical": True},
        "foreach": {"tensors": {"W": tally(3), "exp_avg": tally(0)}, "identical": False},
        "fused": {"refused": "cannot be tried here"},
    }
    return {
        "run": "mine",
        "recorded": json.dumps(RULE),
        "status": "complete",
        "updates": 3,
        "implementations": tried,
        "reproduced_by": ["single"],
        "tensors": tried["single"]["tensors"],
        "checksums": {},
        "controls": {"one flipped bit": tally(1)},
    } | fields


def test_the_audit_shows_what_was_tried(tmp_path):
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(audited()))
    table = audit.RECIPE.table(audit.open_audits([path]))
    found = table.set_index("check")
    assert found["differing"].to_dict() == {
        "by torch's single": 0,
        "by torch's foreach": 3,
        "control: one flipped bit": 1,
    }
    assert found.loc["by torch's foreach", "compared"] == 200
    texts = shown_texts(audit.RECIPE.draw(table))
    assert "mine: bits given back by torch's single" in texts
    tried = audited()["implementations"]
    path.write_text(json.dumps(audited(implementations={"foreach": tried["foreach"]})))
    figure = audit.RECIPE.draw(audit.RECIPE.table(audit.open_audits([path])))
    assert "mine: at best 3 of 200 values differ" in shown_texts(figure)


def test_a_recording_that_cannot_be_replayed_is_no_damaged_audit(tmp_path):
    path = tmp_path / "audit.json"
    about = {name: audited()[name] for name in ("run", "recorded", "status", "updates")}
    path.write_text(json.dumps(about | {"left_out": "no optimizer of torch", "nothing": 1}))
    call("figure", ["audit", str(path), "--output", str(tmp_path / "a.png")])
    assert pd.read_csv(tmp_path / "a.csv").empty
    assert np.all([(tmp_path / f"a.{ending}").exists() for ending in ("png", "pdf")])
