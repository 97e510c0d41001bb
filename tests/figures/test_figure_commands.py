import os
import subprocess
import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_parts
from figures.figure_data import (
    attribution,
    census,
    diverged,
    flow,
    freezing,
    freezing_in_depth,
    read_table,
    scalars,
    sharpening,
    stillness,
    storage,
    tensors,
)
from figures.gradient_data import gradients, start
from jinja2 import Environment, StrictUndefined

from deadtokens.errors import UserError
from deadtokens.figures import draw, loss, style

GRADIENTS = ("firststep", "pathways", "second_moment", "sharpness")
IN_DEPTH = ("phases", "survival", "ulps", "strata", "sharpening")
NAMES = (
    *(
        "loss",
        "frozen",
        "displacement",
        "census",
        "shares",
        "ages",
        "causes",
        "storage",
        "flow",
        "riddle",
        "tensors",
    ),
    *GRADIENTS,
    *IN_DEPTH,
)
MODULES = {name: import_module(f"deadtokens.figures.{name}") for name in NAMES}
REPORT = Path(__file__).parents[2] / "workflow" / "report"


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Draw coarsely: finer pictures only take longer."""
    monkeypatch.setattr(style, "DOTS_PER_INCH", 50)


@pytest.fixture
def plain_fonts(monkeypatch):
    """Leave out the embedding of whole fonts, which takes most of a PDF's time."""
    monkeypatch.setitem(style.LOOK, "pdf.fonttype", 3)


def datasets(name):
    """Two runs that differ in hostile settings, one diverged; a vocabulary; or a measurement."""
    if name == "census":
        return [census([("a", "=cmd()", 5, ""), ("b", "<script>", 0, "$\\frac{")], "input-0")]
    if name == "storage":
        return [storage(np.geomspace(1 / 3, 1e5, 24).reshape(3, 2, 4), run="$\\frac{")]
    if name == "riddle":
        return [start()]
    if name == "tensors":
        return [tensors(np.geomspace(1 / 3, 1e5, 16).reshape(4, 4), run="$\\frac{")]
    settings = [{"precision": "fp32", "note": "$\\frac{"}, {"precision": "mixed", "note": "=cmd()"}]
    if name == "flow":
        first, second = (flow(run=f"r{n}", **setting) for n, setting in enumerate(settings))
        return [first, second.assign_attrs(status="diverged", diverged_at=501)]
    if name == "loss":
        runs = [
            scalars([8, 7, 0.1, 5], run=f"r{n}", **setting) for n, setting in enumerate(settings)
        ]
    elif name in GRADIENTS:
        runs = [gradients(run=f"r{n}", **setting) for n, setting in enumerate(settings)]
    elif name == "causes":
        runs = [
            stillness([0, 1 / 3, 0.7, 1], [[1 / 7] * 7] * 4, run=f"r{n}", **setting)
            for n, setting in enumerate(settings)
        ]
    elif name in IN_DEPTH:
        make = sharpening if name == "sharpening" else freezing_in_depth
        runs = [make(run=f"r{n}", **setting) for n, setting in enumerate(settings)]
    elif name in {"shares", "ages"}:
        terms = [(0, 0.1, 0.8, 0.1), (0, 1 / 3, 9, -25 / 3), (0, 0, 1, 0), (0, 0, 1, 0)]
        runs = [
            attribution(terms, [1e-3, 1e-4, 0, 0], run=f"r{n}", **setting)
            for n, setting in enumerate(settings)
        ]
    else:
        quantiles = np.geomspace(1e-9, 1 / 3, 40).reshape(4, 2, 5)
        quantiles[2, 0] = 0
        runs = [
            freezing([(1 / 3, 0.1)] * 4, run=f"r{n}", quantiles=quantiles, **setting)
            for n, setting in enumerate(settings)
        ]
    return [runs[0], diverged(runs[1], at=3)]


def inputs(name, folder):
    paths = []
    for place, dataset in enumerate(datasets(name)):
        paths.append(folder / f"input-{place}" / f"{name}.nc")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        dataset.to_netcdf(paths[-1], engine="h5netcdf")
    return [str(path) for path in paths]


def picture(figure, **about):
    buffer = BytesIO()
    with style.look():
        figure.savefig(buffer, format="png", dpi=style.DOTS_PER_INCH, metadata=about)
    return buffer.getvalue()


def command(name, folder, title):
    """Draw a figure by its command; return the files by their endings, and its CSV's table."""
    output = folder / "out" / f"a.b-{name}.png"
    draw.main([name, "--output", str(output), "--title", title, *inputs(name, folder)])
    files = {path.suffix: path.read_bytes() for path in output.parent.iterdir()}
    return files, read_table(output.with_name(f"a.b-{name}.csv"), MODULES[name].TYPES)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.usefixtures("plain_fonts")
def test_command_writes_a_figure_whose_csv_holds_all_that_is_drawn(name, tmp_path):
    title = "<script> $\\frac{ =cmd()"
    files, table = command(name, tmp_path, title)
    assert set(files) == {".png", ".pdf", ".csv"}
    assert sys.modules["matplotlib.pyplot"].get_fignums() == []  # no display is ever asked for
    pd.testing.assert_frame_equal(table, MODULES[name].table(datasets(name)), check_exact=True)
    figure = MODULES[name].draw(table)
    style.set_title(figure, f"{MODULES[name].RECIPE.title}: {title}")
    assert picture(figure, Creator=f"deadtokens figure {name}") == files[".png"]


def test_the_same_command_gives_the_same_bytes(tmp_path):
    first, _ = command("displacement", tmp_path, "again")
    second, _ = command("displacement", tmp_path, "again")
    assert first == second


def test_another_number_gives_another_picture():
    table = loss.table(datasets("loss"))
    changed = table.copy()
    changed.loc[0, "loss"] += 1
    assert picture(loss.draw(table)) == picture(loss.draw(table))
    assert picture(loss.draw(table)) != picture(loss.draw(changed))


def test_output_must_be_named_png(tmp_path):
    with pytest.raises(UserError, match=r"must end in \.png"):
        draw.main(["loss", "--output", str(tmp_path / "x.pdf"), *inputs("loss", tmp_path)])


def test_the_wrong_kind_of_file_is_refused_and_nothing_written(tmp_path):
    output = tmp_path / "out.png"
    with pytest.raises(UserError, match="has no variable"):
        draw.main(["frozen", "--output", str(output), *inputs("loss", tmp_path)])
    assert not output.exists()


@pytest.mark.parametrize("arguments", [[], ["pie"]])
def test_dispatcher_names_the_figures(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        draw.main(arguments)
    assert stop.value.code == 2
    assert "frozen" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense", ""])
@pytest.mark.parametrize("module", ["draw", "animation"])
def test_no_display_that_the_environment_asks_for_is_loaded(backend, module):
    command = [sys.executable, "-W", "error", "-m", f"deadtokens.figures.{module}", "--help"]
    package = str(Path(draw.__file__).parents[2])
    environment = os.environ | {"MPLBACKEND": backend, "PYTHONPATH": package}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: deadtokens" in done.stdout


def test_matplotlib_by_itself_would_not_start_there():
    environment = os.environ | {"MPLBACKEND": "nonsense"}
    command = [sys.executable, "-c", "import matplotlib"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "nonsense" in done.stderr


def rendered(path):
    wildcards = SimpleNamespace(experiment="a_*b`|_")
    text = Environment(undefined=StrictUndefined, autoescape=False).from_string(path.read_text())
    strict = {"halt_level": 2, "report_level": 1}
    source = text.render(snakemake=SimpleNamespace(wildcards=wildcards))
    return publish_parts(source, writer="html", settings_overrides=strict)["html_body"]


@pytest.mark.parametrize("name", MODULES)
def test_caption_is_valid_and_names_the_experiment(name):
    assert "a_*b`|_</span></tt>" in rendered(REPORT / f"{name}.rst")


def test_front_page_is_valid():
    assert "dead token" in rendered(REPORT / "workflow.rst")
