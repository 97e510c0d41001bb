"""What the documents say of figures and files exists, and no number of one machine stands there."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from deadtokens.figures import style
from deadtokens.figures.draw import FIGURES, OF_MATRICES
from deadtokens.gradients import firststep, initial_softmax, probe, recorded
from deadtokens.paper.illustrations import caption
from deadtokens.study.captions import caption_of
from deadtokens.study.figures import ANIMATION
from deadtokens.trajectory.populations import POPULATIONS

ROOT = Path(__file__).parents[2]
PACKAGE = Path(style.__file__).parent
WRITTEN = {
    "gradients.nc": {*probe.QUANTITIES, *recorded.PER_UPDATE, *firststep.ROWS, "deviation"},
    "initial_softmax.nc": set(initial_softmax.QUANTITIES),
}


def rows() -> list[list[str]]:
    text = (ROOT / "docs" / "gradients.md").read_text(encoding="utf-8")
    table = text.split("## Where the numbers come out")[1]
    cells = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in cells[1:]]


def test_each_number_named_is_in_the_file_named():
    assert len(rows()) > 9
    for _, variables, file, figure in rows():
        names = re.findall(r"`(\w+)`", variables)
        assert names
        assert set(names) <= WRITTEN[file.strip("`")]
        assert not figure or figure.strip("`") in FIGURES


@pytest.mark.parametrize(
    ("document", "heading"),
    [
        ("gradients.md", "## Where the numbers come out"),
        ("mathematics.md", "Each run's numbers are in its `drift.nc`"),
    ],
)
def test_where_numbers_come_out_none_is_typed(document, heading):
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    assert not re.findall(r"\d[.,]\d|\d %", text.split(heading)[1])


def test_every_figure_has_its_module_and_its_row():
    recipes = {path.stem for path in PACKAGE.glob("*.py") if "\nRECIPE = " in path.read_text()}
    assert recipes == {*FIGURES, *OF_MATRICES}


@pytest.mark.parametrize("figure", [*FIGURES, *OF_MATRICES, ANIMATION])
def test_a_caption_has_the_words_of_the_module_and_no_markup(figure):
    text = caption_of(figure)
    assert not re.search(r"[`*]", text)
    written = import_module(f"deadtokens.figures.{figure}").__doc__
    assert re.findall(r"\w+", text) == re.findall(r"\w+", written)
    assert " ".join(text.split()).startswith(caption(figure))


def test_some_modules_have_markup_to_leave_out():
    written = [import_module(f"deadtokens.figures.{figure}").__doc__ for figure in FIGURES]
    assert any("``" in text for text in written)
    assert any(re.search(r"\*\w", text) for text in written)


@pytest.mark.parametrize(
    "words", ["Grey", "Blue", "light blue", "Yellow", "Green, red, orange, violet", "Lines"]
)
def test_the_short_caption_of_the_causes_explains_all_that_is_drawn(words):
    assert words in caption("causes")


def test_each_population_of_the_files_has_its_stroke():
    assert tuple(style.POPULATIONS) == POPULATIONS
