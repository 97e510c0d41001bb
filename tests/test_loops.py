"""Compiled loops are kept by the fingerprint of their module; those of others as ever."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numba
import pytest

from deadtokens.attribution import terms
from deadtokens.fingerprint import fingerprint
from deadtokens.loops import PLACES, BesideModule, Chosen, OfUser

OTHERS = """
import numba

@numba.njit(cache=True)
def twice(number):
    return 2 * number
"""


@pytest.fixture
def others(tmp_path) -> Path:
    """Return a module that is not of the package."""
    path = tmp_path / "others.py"
    path.write_text(OTHERS)
    return path


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_others_compile_is_kept_where_they_expect_it(others):
    assert imported(others).twice(3) == 6
    assert list((others.parent / "__pycache__").glob("others.twice*.nbc"))


def test_with_our_places_they_could_not_be_compiled(others, monkeypatch):
    """Negative control: what the setting would do to them if it stayed."""
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", PLACES)
    with pytest.raises(FileNotFoundError, match="no module others"):
        imported(others)


def test_ours_are_kept_by_their_fingerprint():
    locator = terms.split_displacement._cache._impl.locator
    assert type(locator) in (Chosen, BesideModule, OfUser)
    assert locator.get_source_stamp() == fingerprint(terms.__name__)
