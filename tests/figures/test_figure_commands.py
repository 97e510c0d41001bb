"""The command that draws figures: what it refuses, and that no display is ever asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from figures.examples import command, datasets, inputs, picture

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.figures import draw, loss


def test_the_same_command_gives_the_same_bytes(tmp_path):
    first, _ = command("displacement", tmp_path, "again")
    second, _ = command("displacement", tmp_path, "again")
    assert first == second


def test_another_number_gives_another_picture():
    table = loss.RECIPE.table(datasets("loss"))
    changed = table.copy()
    changed.loc[0, "loss"] += 1
    assert picture(loss.RECIPE.draw(table)) == picture(loss.RECIPE.draw(table))
    assert picture(loss.RECIPE.draw(table)) != picture(loss.RECIPE.draw(changed))


def test_output_must_be_named_png(tmp_path):
    with pytest.raises(UserError, match=r"must end in \.png"):
        call("figure", ["loss", "--output", str(tmp_path / "x.pdf"), *inputs("loss", tmp_path)])


def test_the_wrong_kind_of_file_is_refused_and_nothing_written(tmp_path):
    output = tmp_path / "out.png"
    with pytest.raises(UserError, match="has no variable"):
        call("figure", ["frozen", "--output", str(output), *inputs("loss", tmp_path)])
    assert not output.exists()


@pytest.mark.parametrize("arguments", [[], ["pie"]])
def test_dispatcher_names_the_figures(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        call("figure", arguments)
    assert stop.value.code == 2
    assert "frozen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "name", "backend"),
    [
        ("draw", "figure", "module://matplotlib_inline.backend_inline"),
        ("draw", "figure", ""),
        ("animation", "animation", "nonsense"),
    ],
)
def test_no_display_that_the_environment_asks_for_is_loaded(module, name, backend):
    code = (
        f"import deadtokens.figures.{module}\n"
        f"from deadtokens.cli import call\ncall('{name}', ['--help'])"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    package = str(Path(draw.__file__).parents[2])
    environment = os.environ | {"MPLBACKEND": backend, "PYTHONPATH": package}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: deadtokens" in done.stdout


def test_help_says_what_each_figure_is_drawn_from(capsys):
    with pytest.raises(SystemExit):
        call("figure", ["--help"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "frozen freezing.nc of each run of the experiment, as far as it goes" in lines
    assert "matrix_cloud census.nc of an examined matrix, or of several" in lines


def test_matplotlib_by_itself_would_not_start_there():
    environment = os.environ | {"MPLBACKEND": "nonsense"}
    command = [sys.executable, "-c", "import matplotlib"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "nonsense" in done.stderr
