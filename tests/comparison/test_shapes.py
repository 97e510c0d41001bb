"""What an experiment varies, and which shapes that has."""

import math
from itertools import product

import pytest
from comparison.comparison_data import put, scalars
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.comparison.members import read_experiment
from deadtokens.comparison.outcomes import compare
from deadtokens.comparison.settings import number, unit
from deadtokens.comparison.shapes import (
    GRID,
    REGIMES,
    SEVERAL,
    SWEEP,
    Varied,
    grid_keys,
    swept_key,
)
from deadtokens.run.spec import DEFAULTS, RunSpec, flat


def of(*settings: dict) -> Varied:
    return Varied.of([flat(DEFAULTS) | setting for setting in settings])


def grid(**values) -> Varied:
    return of(*(dict(zip(values, setting, strict=True)) for setting in product(*values.values())))


RATES = [0.95, 0.99, 0.999]
REGIMES_OF_THREE = ["pure-bf16", "mixed", "fp32"]
SHAPES = {
    "nothing": (grid(), set()),
    "seeds": (grid(seed=[0, 1, 2]), set()),
    "batch seeds": (grid(batch_seed=[0, 1, 2]), set()),
    "two regimes": (grid(precision=["pure-bf16", "fp32"]), {"several"}),
    "three regimes": (grid(precision=REGIMES_OF_THREE), {"several", "regimes"}),
    "two numbers": (grid(lr=[1e-3, 3e-4]), {"several"}),
    "three numbers": (grid(beta2=RATES), {"several", "sweep"}),
    "null is a number": (grid(embedding_std=[None, 0.1, 1.0]), {"several", "sweep"}),
    "null is none": (grid(clip=[None, 0.1, 1.0]), {"several"}),
    "a square": (grid(precision=["pure-bf16", "fp32"], beta1=[0.9, 0]), {"several", "grid"}),
    "a cube": (
        grid(precision=["pure-bf16", "fp32"], lr=[1e-3, 3e-4], weight_decay=[0, 0.01, 0.1]),
        {"several", "grid", "sweep"},
    ),
    "four keys": (
        grid(precision=["mixed", "fp32"], lr=[1, 2], beta1=[0, 0.5], tied=[True, False]),
        {"several"},
    ),
    "too many values for a grid": (
        grid(precision=["mixed", "fp32"], beta2=[*RATES, 0.996, 0.998]),
        {"several", "sweep"},
    ),
    "a grid with a hole": (
        of({"lr": 1.0, "beta1": 0.0}, {"lr": 2.0, "beta1": 0.0}, {"lr": 1.0, "beta1": 0.5}),
        {"several"},
    ),
    "three numbers, never with all else equal": (
        of({"lr": 1.0, "beta1": 0.0}, {"lr": 2.0, "beta1": 0.1}, {"lr": 3.0, "beta1": 0.5}),
        {"several"},
    ),
    "regimes and another setting": (
        of(*({"precision": name} for name in REGIMES_OF_THREE), {"beta2": 0.99}),
        {"several"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_each_experiment_has_its_shapes(name):
    varied, expected = SHAPES[name]
    shapes = {"several": SEVERAL, "grid": GRID, "sweep": SWEEP, "regimes": REGIMES}
    assert {shape for shape, one in shapes.items() if one.fits(varied)} == expected


def test_the_precision_is_what_others_are_crossed_with():
    assert grid_keys(SHAPES["a square"][0]) == ("beta1", "precision")
    assert grid_keys(SHAPES["a cube"][0]) == ("lr", "weight_decay", "precision")


def test_the_longest_sweep_is_taken():
    assert swept_key(grid(lr=[1, 2, 3], beta2=[*RATES, 0.9999])) == "beta2"
    assert swept_key(SHAPES["a cube"][0]) == "weight_decay"


def test_levels_are_in_order_and_seeds_are_none():
    varied = grid(embedding_std=[1.0, None, 0.005], init_std=[0.02], seed=[0, 1])
    assert varied.keys == ("embedding_std",)
    assert varied.levels("embedding_std") == ["0.005", "null", "1.0"]
    assert grid(precision=REGIMES_OF_THREE).levels("precision") == REGIMES_OF_THREE


@pytest.mark.parametrize(
    ("key", "spec", "value"),
    [
        ("lr", {"lr": 0.5}, 0.5),
        ("layers", {"layers": 2}, 2),
        ("embedding_std", {"embedding_std": None, "init_std": 0.1}, 0.1),
        ("embedding_std", {"embedding_std": 0.2, "init_std": 0.1}, 0.2),
    ],
)
def test_a_number_is_what_the_run_uses(key, spec, value):
    assert number(key, spec) == value


@pytest.mark.parametrize(
    ("key", "spec"),
    [
        ("tied", {"tied": True}),
        ("clip", {"clip": None}),
        ("precision", {"precision": "fp32"}),
        ("note", {}),
    ],
)
def test_what_measures_nothing_is_no_number(key, spec):
    assert math.isnan(number(key, spec))


@pytest.mark.parametrize(
    ("key", "words"),
    [("lr", "weight per update"), ("width", "components"), ("tied", ""), ("record.tensors", "")],
)
def test_the_unit_of_a_key_is_that_of_its_description(key, words):
    assert unit(key) == words


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "precision": st.sampled_from(REGIMES_OF_THREE),
                "embedding_std": st.sampled_from([None, 0.1]),
                "clip": st.sampled_from([None, 1.0]),
                "seed": st.integers(0, 1),
                "record": st.sampled_from([{"tensors": ["W"]}, {"tensors": ["grad"]}]),
            }
        ),
        min_size=1,
        max_size=5,
        unique_by=str,
    )
)
def test_files_say_what_the_configuration_does(tmp_path_factory, asked):
    """The shape is known before a run is trained, and is the one of its outcomes."""
    folder = tmp_path_factory.mktemp("runs")
    specs = [RunSpec.model_validate(setting) for setting in asked]
    paths = []
    for place, spec in enumerate(specs):
        said = {"run": f"r{place}", **spec.content()}
        paths += put(folder, {"scalars.nc": scalars([1.0] * 20)}, **said)
    found = read_experiment(paths).varied
    expected = Varied.of([flat(spec) | {"steps": 20} for spec in specs])
    assert found.keys == expected.keys
    assert found.settings == expected.settings
    assert str(found.numbers) == str(expected.numbers)  # NaN is not itself


def test_factors_are_the_keys_and_the_regime_stays(tmp_path):
    cells = {"mixed-bf16": ("bfloat16", "bfloat16"), "mixed": ("float32", "float32")}
    paths = [
        path
        for name in cells
        for path in put(tmp_path, {"scalars.nc": scalars([1.0])}, run=name, precision=name, seed=0)
    ]
    found = read_experiment(paths, ["weights", "moments"])
    assert found.varied.keys == ("weights", "moments")
    assert found.varied.settings == tuple(cells.values())
    assert compare(found)["regime"].values.tolist() == list(cells)
    assert read_experiment(paths).varied.keys == ("precision",)
