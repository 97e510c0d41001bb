import numpy as np
import pandas as pd
import pytest
from figures.figure_data import census, shown_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.errors import UserError
from deadtokens.figures import census as figure_census

ROWS = [
    ("a", "Latin", 50, ""),
    ("b", "Latin", 7, ""),
    ("c", "Latin", 7, ""),
    ("1", "Common", 7, ""),
    (".", "Common", 90, ""),
    ("ก", "Thai", 0, "other script"),
    ("ข", "Thai", 0, "other script"),
    ("th", "Latin", 0, "always absorbed"),
]


def bars(table, series):
    rows = table[table["series"] == series]
    return dict(zip(rows["category"], rows["tokens"], strict=True))


def test_tokens_are_counted_by_cause_and_script():
    table = figure_census.table([census(ROWS)])
    assert bars(table, figure_census.DEAD) == {"other script": 2, "always absorbed": 1}
    assert bars(table, figure_census.LIVE) == {"Latin": 3, "Common": 2}
    assert list(bars(table, figure_census.DEAD)) == ["other script", "always absorbed"]


def test_ranks_by_hand():
    table = figure_census.table([census(ROWS)])
    line = table[table["series"] == figure_census.RANKED]
    assert line[["rank", "occurrences"]].values.tolist() == [[1, 90], [2, 50], [3, 7], [5, 7]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=60))
def test_nothing_is_lost_between_the_ends_of_ties(occurrences):
    line = figure_census.ranked(np.array(occurrences))
    every = np.arange(1, len(occurrences) + 1)
    drawn = np.interp(every, line["rank"], line["occurrences"])
    assert drawn.tolist() == sorted(occurrences, reverse=True)


def test_dropping_the_ends_of_ties_would_lose_something():
    line = figure_census.ranked(np.array([9, 3, 3, 3, 1])).drop_duplicates("occurrences")
    drawn = np.interp([1, 2, 3, 4, 5], line["rank"], line["occurrences"])
    assert drawn.tolist() != [9, 3, 3, 3, 1]


def test_many_scripts_end_in_one_bar_and_no_token_is_lost():
    rows = [("x", f"script {n:02}", 1, "") for n in range(30) for _ in range(n + 1)]
    counted = bars(figure_census.table([census(rows)]), figure_census.LIVE)
    assert len(counted) == 10
    assert counted["others (21)"] == sum(range(1, 22))
    assert sum(counted.values()) == len(rows)


def test_bars_and_line_are_drawn_as_the_table_says():
    table = figure_census.table([census(ROWS)])
    dead, live, ranks = figure_census.draw(table).axes
    assert [bar.get_width() for bar in dead.patches] == [2, 1]
    assert [bar.get_width() for bar in live.patches] == [3, 2]
    assert ranks.lines[0].get_xdata().tolist() == [1, 2, 3, 5]
    assert ranks.lines[0].get_ydata().tolist() == [90, 50, 7, 7]
    texts = shown_texts(dead.figure)
    assert "dead tokens by cause (n = 3)" in texts
    assert "live tokens by script (n = 5) in the text, sampled by a run or not" in texts
    assert "the 3 dead tokens occur 0 times: not drawn" in texts


def test_hostile_scripts_are_drawn_letter_by_letter():
    hostile = {"$\\frac{", "=cmd()", "<script>alert(1)</script>", "_hidden"}
    table = figure_census.table([census([*ROWS, *[("x", script, 3, "") for script in hostile]])])
    assert hostile <= set(bars(table, figure_census.LIVE))
    assert hostile <= set(shown_texts(figure_census.draw(table)))


def test_a_vocabulary_without_dead_or_without_live_tokens():
    for rows in (ROWS[:5], ROWS[5:]):
        texts = shown_texts(figure_census.draw(figure_census.table([census(rows)])))
        assert any("(n = 0)" in text for text in texts)


def test_two_vocabularies_are_named_and_one_given_twice_is_refused():
    table = figure_census.table([census(ROWS, "kjv"), census(ROWS[2:], "kjv_$wiki$")])
    figure = figure_census.draw(table)
    assert len(figure.axes) == 6
    assert "kjv_$wiki$ dead tokens by cause (n = 3)" in shown_texts(figure)
    with pytest.raises(UserError, match="given twice"):
        figure_census.table([census(ROWS, "kjv"), census(ROWS, "kjv")])


def test_the_folder_names_the_vocabulary(tmp_path):
    path = tmp_path / "kjv-4096" / "census.nc"
    path.parent.mkdir()
    census(ROWS, "other").to_netcdf(path, engine="h5netcdf")
    (dataset,) = figure_census.open_censuses([path])
    assert dataset.attrs["vocabulary"] == "kjv-4096"
    pd.testing.assert_frame_equal(
        figure_census.table([dataset]), figure_census.table([census(ROWS, "kjv-4096")])
    )
