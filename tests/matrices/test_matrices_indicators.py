"""Indicators of rows that training has not moved: planted ones, and their definitions."""

import numpy as np
import pytest
from held import held

from deadtokens.matrices.indicators import indicators, moments
from deadtokens.statistics.roc import area_under_curve

NAMES = ["norm", "to_mean", "to_reference", "cosine", "cosine_without_mean", "cosine_without_first"]


def cosine_distance(x, u):
    return 1 - (x @ u) / np.sqrt((x @ x) * (u @ u))


def test_each_is_its_definition(monkeypatch):
    monkeypatch.setattr("deadtokens.matrices.matrix.PIECE", 7 * 4 * 12)  # seven rows
    values = np.random.default_rng(0).normal(0.3, 1, (50, 12)).astype(np.float32)
    matrix, reference = held(values), [3, 8, 21]
    found = indicators(matrix, moments(matrix), reference)
    assert list(found) == NAMES
    x = values.astype(np.float64)
    mean, u = x.mean(0), x[reference].mean(0)
    first = np.linalg.svd(x, full_matrices=False)[2][0]
    for i in range(50):
        left, known = x[i] - (x[i] @ first) * first, u - (u @ first) * first
        expected = [
            np.linalg.norm(x[i]),
            np.linalg.norm(x[i] - mean),
            np.linalg.norm(x[i] - u),
            cosine_distance(x[i], u),
            cosine_distance(x[i] - mean, u - mean),
            cosine_distance(left, known),
        ]
        assert [found[name][i] for name in NAMES] == pytest.approx(expected, rel=2e-4, abs=1e-5)


def test_moments_are_those_of_all_rows_at_once(monkeypatch):
    values = np.random.default_rng(1).normal(1, 2, (40, 5)).astype(np.float32)
    whole = moments(held(values))
    monkeypatch.setattr("deadtokens.matrices.matrix.PIECE", 3 * 4 * 5)
    found = moments(held(values))
    x = values.astype(np.float64)
    for one in (whole, found):
        assert one.count == 40
        assert one.mean == pytest.approx(x.mean(0))
        assert one.spectrum() == pytest.approx(
            np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1], rel=1e-4
        )


def test_without_a_reference_there_are_those_that_need_none():
    matrix = held(np.eye(4))
    assert list(indicators(matrix, moments(matrix))) == NAMES[:2]


def test_a_row_of_no_numbers_has_no_value_and_changes_no_other():
    values = np.random.default_rng(2).normal(size=(30, 6)).astype(np.float32)
    broken = values.copy()
    broken[4, 2] = np.nan
    kept = np.delete(values, 4, axis=0)
    found = indicators(held(broken), moments(held(broken)), [0, 1])
    expected = indicators(held(kept), moments(held(kept)), [0, 1])
    for name in NAMES:
        assert np.isnan(found[name][4])
        assert np.delete(found[name], 4) == pytest.approx(expected[name], rel=1e-6)


def test_the_first_component_is_found_though_no_row_lies_along_the_diagonal():
    rows = np.random.default_rng(4).normal(size=(9, 1)) * np.array([1, -1])
    direction = moments(held(rows)).first_component()
    assert np.abs(direction) == pytest.approx(np.sqrt([0.5, 0.5]))
    assert direction.sum() == pytest.approx(0)


@pytest.mark.parametrize("factor", [0.0, np.nan])
def test_of_a_matrix_without_a_first_component_the_others_are_told(factor):
    matrix = held(factor * np.random.default_rng(5).normal(size=(9, 3)))
    found = indicators(matrix, moments(matrix), [0, 1])
    assert np.isnan(found["cosine_without_first"]).all()
    np.testing.assert_array_equal(found["norm"], np.full(9, factor))


def tied(tokens: int = 2000, dead: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix as a tied model has it: dead rows have moved together, and far."""
    generator = np.random.default_rng(3)
    values = generator.normal(0, 1, (tokens, 32))
    common = generator.normal(0, 1, 32)
    truth = np.arange(tokens) < dead
    values[truth] = 0.3 * generator.normal(0, 1, (dead, 32)) + 1.2 * common
    return values, truth


def test_the_norm_misleads_in_a_tied_model_and_the_reference_does_not():
    values, truth = tied()
    matrix, reference = held(values), np.arange(0, 300, 2)
    found = indicators(matrix, moments(matrix), reference)
    asked = np.ones(len(truth), bool)
    asked[reference] = False
    areas = {name: area_under_curve(found[name][asked], truth[asked]).value for name in NAMES}
    assert areas["norm"] < 0.5
    assert min(areas[name] for name in ("to_reference", "cosine")) > 0.99


def test_the_norm_tells_untouched_rows_of_an_untied_embedding():
    values, truth = tied()
    values[truth] = 0.02 * np.random.default_rng(4).normal(size=(300, 32))
    matrix = held(values)
    found = indicators(matrix, moments(matrix))
    assert area_under_curve(found["norm"], truth).value == 1
