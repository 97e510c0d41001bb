"""Damaged and foreign derived files: each figure ends in one sentence, or in a figure."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from figures.drift_data import drift
from figures.test_figure_commands import NAMES, datasets

from deadtokens.errors import UserError
from deadtokens.figures import draw
from deadtokens.figures.product import Product

DRIFT = ("path", "scree", "directions", "dependence", "bulk")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Draw figures without laying them out and writing them: that only takes longer."""

    def write(product: Product, *_: object) -> None:
        product.path("png").touch()

    monkeypatch.setattr(Product, "write", write)


def whole(name: str) -> xr.Dataset:
    return drift(precision="fp32") if name in DRIFT else datasets(name)[0]


def attributes_of_other_types(data: xr.Dataset) -> xr.Dataset:
    return data.assign_attrs({name: [1.5, -3.0] for name in data.attrs})


def an_empty_spec(data: xr.Dataset) -> xr.Dataset:
    return data.assign_attrs({name: "{}" for name in data.attrs if name == "spec"})


def numbers_as_text(data: xr.Dataset) -> xr.Dataset:
    return data.map(lambda array: array.astype(str))


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


def drawn(name: str, data: xr.Dataset, folder: Path) -> bool:
    """Draw the figure; return whether there is one. Anything but a sentence fails the test."""
    folder.mkdir()
    file, output = folder / "in.nc", folder / "out.png"
    data.to_netcdf(file, engine="h5netcdf")
    try:
        draw.main([name, str(file), "--output", str(output)])
    except UserError as error:
        assert str(file) in str(error) or name == "census"
        assert not list(folder.glob("out.*"))
        return False
    return output.exists()


@pytest.mark.parametrize("name", [*NAMES, *DRIFT])
@pytest.mark.filterwarnings("ignore")  # of numpy, of numbers that no run has
def test_a_damaged_file_ends_in_a_sentence_or_in_a_figure(name, tmp_path):
    data = whole(name)
    assert drawn(name, data, tmp_path / "whole")
    found = [drawn(name, damage(data), tmp_path / damage.__name__) for damage in DAMAGES]
    assert not all(found)


@pytest.mark.parametrize("name", [*NAMES, *DRIFT])
def test_a_file_without_a_variable_that_is_drawn_is_refused(name, tmp_path):
    data = whole(name)
    found = [
        drawn(name, data.drop_vars(variable), tmp_path / str(place))
        for place, variable in enumerate(data.variables)
    ]
    assert not all(found)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b"{}", b"[" * 10**5])
def test_a_damaged_audit_is_refused(content, tmp_path):
    file = tmp_path / "audit.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match="audit"):
        draw.main(["audit", str(file), "--output", str(tmp_path / "x.png")])


@pytest.mark.parametrize("part", ["tensors", "checksums", "controls", "status", "run", "spec"])
def test_a_part_of_an_audit_of_the_wrong_type_is_refused(part, tmp_path):
    tally = {"W": {"compared": 10, "differing": 0}}
    audit = {"run": "a", "spec": "{}", "status": "complete", "tensors": tally, "checksums": {}}
    file = tmp_path / "audit.json"
    file.write_text(json.dumps(audit | {"controls": {}} | {part: [3]}))
    with pytest.raises(UserError, match="again"):
        draw.main(["audit", str(file), "--output", str(tmp_path / "x.png")])
