"""One way to label: what a table says is in the dataset, and nothing is without a label."""

import numpy as np
import pytest

from deadtokens.labels import COORDINATES, label
from deadtokens.run import layout

SPEED = {"speed": (("update", "grid"), "how fast", "weight")}
VALUES = {
    "update": np.array([1, 2]),
    "grid": ["bfloat16", "recorded"],
    "speed": np.array([[1, 2], [3, 4]], np.float32),
}


def test_a_variable_is_what_its_table_says():
    found = label(VALUES, SPEED, {"grid": ("numbers on which steps are counted",)})
    assert found.speed.dims == ("update", "grid")
    assert found.speed.dtype == np.float32
    assert found.speed.attrs == {"long_name": "how fast", "units": "weight"}
    assert found.grid.attrs == {"long_name": "numbers on which steps are counted"}
    assert set(found.coords) == {"update", "grid"}


def test_standard_coordinates_have_the_words_of_the_record():
    found = label(VALUES, SPEED, {"grid": ()})
    assert tuple(found["update"].attrs.values()) == COORDINATES["update"]
    assert found.grid.attrs == {}
    for axis in ("state", "update", "token", "component"):
        assert COORDINATES[axis] == tuple(layout.AXES[axis].attributes.values())


def test_an_analysis_can_say_what_a_standard_coordinate_means_there():
    own = label({"token": [3, 5]}, {}, {"token": ("row of the vocabulary; dead tokens only", "1")})
    assert own.token.attrs["long_name"].endswith("dead tokens only")


def test_variables_come_in_the_order_of_the_values():
    table = {name: ((), name, "1") for name in "abc"}
    assert list(label({"c": 1, "a": 2, "b": 3}, table).data_vars) == ["c", "a", "b"]


def test_a_variable_may_have_the_name_of_a_coordinate():
    found = label({"token": np.arange(3)}, {"token": (("position",), "token id", "1")})
    assert found.token.dims == ("position",)
    assert not found.coords


@pytest.mark.parametrize(
    ("values", "table", "axes", "lacking"),
    [
        (VALUES | {"unknown": 1}, SPEED, {"grid": ()}, "unknown"),
        (VALUES, SPEED, {}, "grid"),
        (VALUES, SPEED | {"radius": ((), "how wide", "1")}, {"grid": ()}, "radius"),
        (VALUES, SPEED, {"grid": (), "norm": ()}, "norm"),
    ],
)
def test_a_value_without_its_label_and_a_label_without_its_value(values, table, axes, lacking):
    with pytest.raises(KeyError, match=rf": {lacking}'"):
        label(values, table, axes)


@pytest.mark.parametrize("words", [(), ("how fast",)])
def test_numbers_need_a_meaning_and_a_unit(words):
    table = {"speed": (("update", "grid"), *words)}
    with pytest.raises(ValueError, match="speed"):
        label(VALUES, table, {"grid": ()})
