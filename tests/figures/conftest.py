"""Quick pictures."""

import pytest

from deadtokens.figures import style


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Draw coarsely: finer pictures only take longer."""
    monkeypatch.setattr(style, "DOTS_PER_INCH", 50)


@pytest.fixture
def plain_fonts(monkeypatch):
    """Leave out the embedding of whole fonts, which takes most of a PDF's time."""
    monkeypatch.setitem(style.LOOK, "pdf.fonttype", 3)
