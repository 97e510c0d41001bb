"""What holds for every figure, whatever it shows; `examples` has what each is drawn from."""

import sys
from html import escape
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from docutils.core import publish_parts
from figures.drift_data import drift
from figures.examples import (
    CROWDS,
    DRIFT,
    MODULES,
    NAMES,
    WITHOUT_RUNS,
    command,
    datasets,
    picture,
)
from figures.figure_data import misplaced_texts
from jinja2 import Environment, StrictUndefined

from deadtokens.errors import UserError
from deadtokens.figures import style
from deadtokens.study.figures import ANIMATION, FIGURES, OF_MATRICES

REPORT = Path(__file__).parents[2] / "workflow" / "report"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("plain_fonts")
def test_command_writes_a_figure_whose_csv_holds_all_that_is_drawn(name, tmp_path):
    title = "<script> $\\frac{ =cmd()"
    files, table = command(name, tmp_path, title)
    assert set(files) == {".png", ".pdf", ".csv"}
    assert sys.modules["matplotlib.pyplot"].get_fignums() == []  # no display is ever asked for
    pd.testing.assert_frame_equal(
        table, MODULES[name].RECIPE.table(datasets(name)), check_exact=True
    )
    figure = MODULES[name].RECIPE.draw(table)
    style.set_title(figure, MODULES[name].RECIPE.title, title)
    assert picture(figure, Creator=f"deadtokens figure {name}") == files[".png"]


def two_lengths(name):
    """Return one run twice, as far as other numbers of updates; and these."""
    if name in DRIFT:
        return [drift(updates=updates, precision="fp32") for updates in (8, 4)], (4, 8)
    long = datasets(name)[0]
    axis, last = ("state", 0) if name == "gradient_flow" else ("update", 2)
    if name == "indicator_history":
        axis, last = "state", 5
    short = long.isel({axis: long[axis].values <= last})
    if "strata" in short:
        short = short.isel(column=slice(last))
    return [long, short], (last, long[axis].values[-1])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_RUNS])
def test_one_run_at_two_lengths_is_two_members(name):
    runs, lengths = two_lengths(name)
    table = MODULES[name].RECIPE.table(runs)
    labels = table.loc[table["group"] != "", "group"]
    assert list(dict.fromkeys(labels)) == [f"steps {length}" for length in lengths]
    with pytest.raises(UserError, match="given twice"):
        MODULES[name].RECIPE.table([runs[0], runs[0]])


def test_every_figure_has_its_crowd():
    assert {name for name, _ in CROWDS} == {*NAMES}


@pytest.mark.parametrize(("name", "crowd"), CROWDS)
def test_no_text_overlaps_in_a_crowd(name, crowd):
    figure = MODULES[name].RECIPE.draw(MODULES[name].RECIPE.table(CROWDS[name, crowd]()))
    style.set_title(figure, MODULES[name].RECIPE.title, "Why does " + "a token " * 30 + "stop?")
    assert misplaced_texts(figure) == []


def rendered(template, caption=""):
    snakemake = SimpleNamespace(
        wildcards=SimpleNamespace(experiment="a_*b`|_"), params=SimpleNamespace(caption=caption)
    )
    text = (REPORT / template).read_text(encoding="utf-8")
    rst = Environment(undefined=StrictUndefined, autoescape=False).from_string(text)
    strict = {"halt_level": 2, "report_level": 1}
    source = rst.render(snakemake=snakemake)
    return publish_parts(source, writer="html", settings_overrides=strict)["html_body"]


@pytest.mark.parametrize("name", [*FIGURES, ANIMATION, *OF_MATRICES])
def test_caption_is_valid_and_names_the_experiment(name):
    module = import_module(f"deadtokens.figures.{name}")
    summary, _, text = module.__doc__.partition("\n\n")
    assert len(text.split()) > 40
    page = rendered("figure.rst", module.__doc__)
    assert "a_*b`|_</span></tt>" in page
    assert escape(summary, quote=False) in page


def test_front_page_is_valid():
    assert "dead token" in rendered("workflow.rst")
