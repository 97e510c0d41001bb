"""Parts of a whole, binned and stacked: what the figures that show them share."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from figures.figure_data import ALIKE, diverged, freezing_in_depth, shown_texts, stillness
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.figures import phases, stacks
from deadtokens.figures.axes import titled_grid
from deadtokens.figures.bins import bin_starts
from deadtokens.figures.runs import experiment


def parts(updates, seed=0):
    """Return three parts of a whole over so many updates."""
    fractions = np.random.default_rng(seed).dirichlet([1, 2, 3], updates)
    return pd.DataFrame(fractions, index=np.arange(1, updates + 1), columns=["a", "b", "c"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=3), st.integers(2, 20))
def test_fractions_are_means_over_bins_and_runs_as_far_as_all_go(lengths, bins):
    runs = [parts(updates, seed) for seed, updates in enumerate(lengths)]
    starts = bin_starts(max(lengths), bins)
    rows = stacks.mean_fractions(runs, starts, "part")
    found = rows.set_index(["first_update", "part"])["fraction"]
    bounds = [*starts, max(lengths) + 1]
    expected = {
        (first, name): np.mean([run.loc[first : beyond - 1, name].mean() for run in runs])
        for first, beyond in pairwise(bounds)
        for name in "abc"
        if first <= min(lengths)
    }
    assert found.to_dict() == pytest.approx(expected, rel=1e-12)
    assert found.groupby("first_update").sum().to_numpy() == pytest.approx(1)
    assert rows["last_update"].max() == min(lengths)


def test_nothing_to_bin_is_one_row_without_part():
    rows = stacks.mean_fractions([parts(0)], bin_starts(0), "part")
    assert rows["part"].tolist() == [""]
    assert rows[["first_update", "last_update", "fraction"]].isna().all(axis=None)


def test_groups_say_how_many_runs_and_when_the_first_diverged():
    settings = {"precision": "mixed"}
    runs = [
        diverged(stillness([0.5] * 9, [ALIKE] * 9, f"r{at}", seed=at, **settings), at)
        for at in (7, 4)
    ]
    runs.append(stillness([0.5], [ALIKE], "other", precision="fp32", seed=4))
    tables = stacks.of_groups(
        experiment(runs), lambda members: pd.DataFrame({"tokens": [len(members)]})
    )
    mixed, fp32 = (table.iloc[0] for table in tables)
    assert mixed[["group", "runs", "tokens", "diverged_at"]].tolist() == ["mixed", 2, 2, 4]
    assert fp32[["group", "runs", "tokens"]].tolist() == ["fp32", 1, 1]
    assert pd.isna(fp32["diverged_at"])


@pytest.mark.parametrize("updates", [1, 2, 8])
def test_areas_reach_to_the_end_of_the_last_update_and_no_further(updates):
    recipe = phases.RECIPE
    axes = recipe.draw(recipe.table([freezing_in_depth(updates=updates)])).axes[0]
    assert axes.get_xlim() == (1, updates + 1)
    assert {patch.get_data().edges[-1] for patch in axes.patches} == {updates + 1}


def test_titles_are_wrapped_to_their_panels_line_by_line():
    lines = ["$\\frac{ " * 10, "no dead tokens"]
    titles = [axes.get_title() for axes in titled_grid([lines] * 3, 3, 1, 1, "").panels]
    assert len(set(titles)) == 1
    assert titles[0].endswith("\nno dead tokens")
    assert max(map(len, titles[0].splitlines())) <= 32


def test_a_new_line_in_a_name_is_a_character():
    drawing = titled_grid([["a\nb", "c"]], 1, 2, 1, "")
    assert "a\\nb c" in shown_texts(drawing.figure)
