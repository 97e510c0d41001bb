"""Damaged and foreign derived files: each figure ends in one sentence, or in a figure."""

import json
from dataclasses import replace
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from figures.drift_data import drift
from figures.examples import DRIFT, MODULES, NAMES, datasets
from matplotlib.figure import Figure

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.figures import inputs, style
from deadtokens.figures.product import Product


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """Return the tables of figures that are drawn, but not laid out and not written.

    That only takes longer.
    """
    tables = []

    def write(product: Product, _: Figure, table: pd.DataFrame) -> None:
        product.path("png").touch()
        tables.append(table)

    monkeypatch.setattr(Product, "write", write)
    return tables


def whole(name: str) -> xr.Dataset:
    """Return a file that the figure is drawn from; of the many variables of a drift those drawn."""
    if name not in DRIFT:
        return datasets(name)[0]
    module = import_module(f"deadtokens.figures.{name}")
    drawn_ones = {
        *getattr(module, "NEEDED", ()),
        *getattr(module, "QUANTITIES", ()),
        "movers",
        "dead",
    }
    data = drift(precision="fp32")
    return data[[variable for variable in data.data_vars if variable in drawn_ones]]


def attributes_of_other_types(data: xr.Dataset) -> xr.Dataset:
    return data.assign_attrs({name: np.array([1.5, -3.0]) for name in data.attrs})


def an_empty_spec(data: xr.Dataset) -> xr.Dataset:
    return data.assign_attrs({name: "{}" for name in data.attrs if name == "spec"})


def numbers_as_text(data: xr.Dataset) -> xr.Dataset:
    return data.map(lambda array: array.astype(str).astype(object))


def empty_axes(data: xr.Dataset) -> xr.Dataset:
    return data.isel({name: slice(0, 0) for name in data.dims})


def one_axis_renamed_on_all(data: xr.Dataset) -> xr.Dataset:
    names = {name: f"{name}_" for name in data.dims if name not in data.coords}
    return data.rename(names) if names else data.rename_dims({next(iter(data.dims)): "other"})


def other_labels(data: xr.Dataset) -> xr.Dataset:
    labelled = [name for name in data.indexes if data[name].dtype.kind in "UO"]
    return data.assign_coords(
        {name: data[name].values + np.array("?", object) for name in labelled}
    )


def numbers_out_of_range(data: xr.Dataset) -> xr.Dataset:
    floats = [name for name, array in data.data_vars.items() if array.dtype.kind == "f"]
    return data.assign({name: data[name] * 0 - 1e300 for name in floats})


DAMAGES = (
    attributes_of_other_types,
    an_empty_spec,
    numbers_as_text,
    empty_axes,
    one_axis_renamed_on_all,
    other_labels,
    numbers_out_of_range,
)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Return a function that draws a figure of a file as it is read; was there one?

    Anything but a sentence fails the test.
    """
    file, output = tmp_path / "in.nc", tmp_path / "out.png"
    file.touch()

    def drawn(name: str, data: xr.Dataset) -> bool:
        monkeypatch.setattr(inputs, "read_derived", lambda *_: data)
        output.unlink(missing_ok=True)
        try:
            call("figure", [name, str(file), "--output", str(output)])
        except UserError as error:
            assert str(file) in str(error) or name == "census"
            assert not list(tmp_path.glob("out.*"))
            return False
        return output.exists()

    return drawn


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")  # of numpy, of numbers that no run has
def test_a_damaged_file_ends_in_a_sentence_or_in_a_figure(name, drawn):
    data = whole(name)
    assert drawn(name, data)
    found = [drawn(name, damage(data)) for damage in DAMAGES]
    assert not all(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_that_is_missing_is_told_or_is_not_drawn(name, drawn, tables, monkeypatch):
    undrawn = replace(MODULES[name].RECIPE, draw=lambda table: style.blank(1))
    monkeypatch.setattr(MODULES[name], "RECIPE", undrawn)
    data = whole(name)
    assert drawn(name, data)
    found = [drawn(name, data.drop_vars(variable)) for variable in data.variables]
    assert not all(found)
    numbers = set(tables[0].to_csv(index=False).splitlines())
    for table in tables[1:]:
        assert set(table.to_csv(index=False).splitlines()) <= numbers


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b"{}", b"[" * 10**5])
def test_a_damaged_audit_is_refused(content, tmp_path):
    file = tmp_path / "audit.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match="audit"):
        call("figure", ["audit", str(file), "--output", str(tmp_path / "x.png")])


@pytest.mark.parametrize("part", ["tensors", "checksums", "controls", "status", "run", "spec"])
def test_a_part_of_an_audit_of_the_wrong_type_is_refused(part, tmp_path):
    tally = {"W": {"compared": 10, "differing": 0}}
    audit = {"run": "a", "spec": "{}", "status": "complete", "tensors": tally, "checksums": {}}
    file = tmp_path / "audit.json"
    file.write_text(json.dumps(audit | {"controls": {}} | {part: [3]}))
    with pytest.raises(UserError, match="again"):
        call("figure", ["audit", str(file), "--output", str(tmp_path / "x.png")])
