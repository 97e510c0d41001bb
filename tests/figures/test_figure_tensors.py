import numpy as np
import pytest
from figures.figure_data import shown_texts, tensors
from matplotlib.patches import Rectangle

from deadtokens.errors import UserError
from deadtokens.figures import tensors as figure_tensors

# (stored bytes, seconds, compared, differing) x (W; W, grad; grad; all four)
COSTS = [
    [200_000, 500_000, 300_000, 950_000],
    [0.001, 0.004, 0.003, 0.002],
    [1000, 4000, 4000, 4000],
    [0, 0, 7, 0],
]


def test_the_table_by_hand():
    table = figure_tensors.table([tensors(COSTS, run="r")])
    assert table["choice"].tolist() == [
        name for name in ("W", "W, grad", "grad", "all four") for _ in range(2)
    ]
    assert table["gives"].tolist() == [True, False, *[True] * 6]
    one = table.drop_duplicates("choice")
    assert one["kilobytes"].tolist() == [200, 500, 300, 950]
    assert one["of_raw"].tolist() == [0.1, 0.25, 0.15, 0.475]
    assert one["read_milliseconds"].tolist() == [1, 4, 3, 2]
    assert one["differing"].tolist() == [0, 0, 7, 0]
    assert set(table["run"]) == {"r"}


def test_it_is_drawn_as_the_table_says():
    figure = figure_tensors.draw(figure_tensors.table([tensors(COSTS, run="r")]))
    disk, grid = figure.axes
    widths = [patch.get_width() for patch in disk.patches if isinstance(patch, Rectangle)]
    assert widths == [200, 500, 300, 950]
    written = [text.get_text() for text in grid.texts]
    assert written[:4] == ["yes", "–", "0 of 1,000", "1"]
    assert written[8:12] == ["yes", "yes", "7 of 4,000", "3"]
    texts = shown_texts(figure)
    assert {"W", "W, grad", "grad", "all four", "300 (0.15)"} <= set(texts)
    assert "first 7 updates of r times: 3 cores, A (R) CPU" in texts


def test_a_choice_that_the_record_does_not_give_is_left_out():
    costs = np.array(COSTS, float)
    costs[:, 1:] = np.nan
    table = figure_tensors.table([tensors(costs)])
    assert set(table["choice"]) == {"W"}
    assert "grad" not in shown_texts(figure_tensors.draw(table))


def test_a_run_without_updates_is_drawn_empty():
    table = figure_tensors.table([tensors(np.full((4, 4), np.nan))])
    assert table.empty
    assert "no update was recorded" in shown_texts(figure_tensors.draw(table))


def test_several_measurements_are_refused():
    with pytest.raises(UserError, match="2 files are given"):
        figure_tensors.table([tensors(COSTS), tensors(COSTS)])
