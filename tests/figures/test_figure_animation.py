"""The animation shows the tokens of the file, where and as they are."""

import numpy as np
import pytest
from figures.drift_data import drift, exploded, without_dead
from PIL import Image

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.figures import animation


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Draw coarsely: finer pictures only take longer."""
    monkeypatch.setattr(animation, "DOTS_PER_INCH", 30)
    monkeypatch.setattr(animation, "HOLD", 2)


def write(data, folder):
    path = folder / "drift.nc"
    data.to_netcdf(path, engine="h5netcdf")
    return str(path)


def test_tokens_are_live_moving_or_frozen():
    data = drift()
    data["frame_frozen"][4, :3] = True
    found = animation.classes(data, 4)
    dead = data["member_dead"].values
    assert found["live"].tolist() == (~dead).tolist()
    assert np.flatnonzero(found["dead, frozen"]).tolist() == [0, 1, 2]
    assert sum(chosen.astype(int) for chosen in found.values()).tolist() == [1] * len(dead)


def test_nobody_is_frozen_before_the_first_update():
    data = drift().copy(deep=True)
    for said in (False, True):
        data["frame_frozen"][0] = said
        assert not animation.classes(data, 0)["dead, frozen"].any()


def test_a_frame_draws_the_positions_of_the_file():
    data = drift()
    film = animation.Film(data, "$\\frac{")
    film.show(3)
    axes = film.axes
    lines = {line.get_label(): line for line in axes.lines}
    dead = data["member_dead"].values
    expected = data["frame_position"].values[3][dead]
    assert (lines["dead, moving"].get_xydata() == expected).all()
    assert axes.get_title(loc="left") == "$\\frac{\nupdate 3: 0% of the dead tokens frozen"
    limits = (axes.get_xlim(), axes.get_ylim())
    for (low, high), values in zip(limits, data["frame_position"].values[:, dead].T, strict=True):
        assert low < values.min() and values.max() < high


@pytest.mark.parametrize(
    ("freeze", "on_top"), [(slice(2), "dead, frozen"), (slice(2, None), "dead, moving")]
)
def test_the_rarer_of_the_dead_are_not_hidden(freeze, on_top):
    data = drift().copy(deep=True)
    data["frame_frozen"][3, np.flatnonzero(data["member_dead"].values)[freeze]] = True
    film = animation.Film(data, "")
    film.show(3)
    lines = sorted(film.axes.lines, key=lambda line: line.get_zorder())
    assert lines[-1].get_label() == on_top
    assert lines[-1].get_zorder() > lines[-2].get_zorder()
    assert len(lines[-1].get_xdata()) == 2


def test_the_command_writes_a_gif_of_all_states(tmp_path):
    output = tmp_path / "out" / "drift.gif"
    call("animation", [write(drift(), tmp_path), "--output", str(output)])
    with Image.open(output) as picture:
        assert picture.format == "GIF"
        assert picture.n_frames >= drift().sizes["frame"]
    again = tmp_path / "again.gif"
    call("animation", [str(tmp_path / "drift.nc"), "--output", str(again)])
    assert again.read_bytes() == output.read_bytes()


@pytest.mark.parametrize("data", [without_dead(), drift(updates=1), exploded()])
def test_runs_with_nothing_to_show_do_not_fail(data, tmp_path):
    output = tmp_path / "drift.gif"
    call("animation", [write(data, tmp_path), "--output", str(output)])
    assert output.read_bytes().startswith(b"GIF8")


def test_a_large_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="more than 100"):
        call("animation", [write(drift(), tmp_path), "--output", str(tmp_path / "drift.gif")])
    assert not (tmp_path / "drift.gif").exists()


def test_the_output_must_be_named_gif(tmp_path):
    with pytest.raises(UserError, match=r"must end in \.gif"):
        call("animation", [write(drift(), tmp_path), "--output", str(tmp_path / "drift.png")])
