import numpy as np
import pytest
from figures.figure_data import shown_texts, storage
from matplotlib.patches import Rectangle

from deadtokens.errors import UserError
from deadtokens.figures import storage as figure_storage

# (wall, CPU, stored) x (segment, stepwise) x (W, exp_avg)
COSTS = np.array(
    [
        [[0.001, 0.002], [0.01, 0.02]],
        [[0.0015, 0.0025], [0.01, 0.02]],
        [[200_000, 300_000], [400_000, 500_000]],
    ]
)


def test_the_table_by_hand():
    table = figure_storage.table([storage(COSTS, run="r")])
    assert table["tensor"].tolist() == ["W", "W", "exp_avg", "exp_avg"]
    assert table["writer"].tolist() == ["segment", "stepwise"] * 2
    assert table["kilobytes"].tolist() == [200, 400, 300, 500]
    assert table["raw_kilobytes"].tolist() == [2000] * 4
    assert table["wall_milliseconds"].tolist() == [1, 10, 2, 20]
    assert table["cpu_milliseconds"].tolist() == [1.5, 10, 2.5, 20]
    assert set(table["run"]) == {"r"}


def bars(axes):
    return [patch.get_height() for patch in axes.patches if isinstance(patch, Rectangle)]


def ticks(axes):
    lines = [segment for lines in axes.collections for segment in lines.get_segments()]
    return [segment[0, 1] for segment in lines]


def test_bars_and_ticks_are_drawn_as_the_table_says():
    figure = figure_storage.draw(figure_storage.table([storage(COSTS, run="r")]))
    disk, clock = figure.axes
    assert bars(disk) == [200, 300, 400, 500]
    assert ticks(disk) == [2000] * 4
    assert bars(clock) == [1, 2, 10, 20]
    assert ticks(clock) == [1.5, 2.5, 10, 20]
    texts = shown_texts(figure)
    assert {"on disk, first 7 updates of r", "time to write, 3 cores A (R) CPU"} <= set(texts)
    assert texts.count("W") == texts.count("exp_avg") == 2


def test_a_run_without_updates_is_drawn_empty():
    table = figure_storage.table([storage(np.full((3, 2, 4), np.nan))])
    assert table.empty
    assert "no update was recorded" in shown_texts(figure_storage.draw(table))


def test_several_measurements_are_refused():
    with pytest.raises(UserError, match="2 files are given"):
        figure_storage.table([storage(COSTS), storage(COSTS)])
