"""The figure of effects: what is drawn where, what is left out, and what is said of that."""

import numpy as np
import pytest
from figures.examples import second_moment
from figures.figure_data import compared, outcomes, shown_texts, varied

from deadtokens.comparison.effects import EFFECT, INTERACTION, MAIN
from deadtokens.errors import UserError
from deadtokens.figures import effects, seeds

TWO_SEEDS = {("a", 0): 0.1, ("a", 1): 0.2, ("b", 0): 0.5, ("b", 1): 0.9}


def drawn(data):
    table = effects.RECIPE.table([data])
    return table, effects.RECIPE.draw(table)


def points(axes, marker):
    """Return the values drawn with a marker, and how far from the top."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return sorted(
        (float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)
    )


def test_every_seed_the_mean_and_its_interval_are_drawn():
    data = outcomes(TWO_SEEDS).sel(outcome="frozen").squeeze("contrast")
    _, figure = drawn(outcomes(TWO_SEEDS))
    axes = figure.axes[0]
    assert [value for value, _ in points(axes, "o")] == pytest.approx([0.4, 0.7])
    ((mean, place),) = points(axes, "D")
    assert mean == pytest.approx(0.55)
    assert place > points(axes, "o")[1][1] > points(axes, "o")[0][1]
    (bar,) = axes.collections[0].get_segments()
    assert bar[:, 0].tolist() == [float(data.low), float(data.high)]
    dots = [line.get_color() for line in axes.lines if line.get_marker() == "o"]
    assert len(set(dots)) == 2


def test_the_primary_outcome_comes_first():
    table, figure = drawn(outcomes(TWO_SEEDS))
    shown = list(dict.fromkeys(table["outcome"]))
    assert shown == ["frozen", *seeds.SECONDARY]
    labels = [axes.get_xlabel().partition(" [")[0].replace(" ", "_") for axes in figure.axes]
    assert labels == shown


def test_one_seed_has_dots_no_interval_and_it_is_said():
    table, figure = drawn(outcomes({("a", 3): 0.1, ("b", 3): 0.5}))
    assert "seed 3 (one seed: no interval)" in shown_texts(figure)
    assert [value for value, _ in points(figure.axes[0], "o")] == [0.4]
    assert points(figure.axes[0], "D") == []
    means = table[table["series"] == "mean"]
    assert means["value"].tolist() == [0.4] * 6
    assert means[["low", "high"]].isna().all(axis=None)


def test_a_seed_without_its_pair_is_named_and_the_mean_of_the_others_is_open():
    three = TWO_SEEDS | {("a", 2): 0.3, ("b", 2): np.nan}
    table, figure = drawn(outcomes(three))
    means = table[table["series"] == "mean"]
    assert set(means["seeds"]) == {2}
    assert means["value"].tolist() == pytest.approx([0.55] * 6)
    axes = figure.axes[0]
    (hollow,) = (
        line.get_xdata()[0]
        for line in axes.lines
        if line.get_marker() == "o" and line.get_markerfacecolor() == "white"
    )
    assert hollow > 0.7 + 0.01
    faces = {
        line.get_markerfacecolor()
        for line in axes.lines
        if line.get_marker() == "D" and len(line.get_xdata())
    }
    assert faces == {"white"}
    lacking = table[(table["series"] == effects.DIFFERENCE) & table["value"].isna()]
    assert set(lacking["seed"]) == {2}


NEVER = "half of them never settled"


def of_legend(data) -> list[str]:
    """Return what the legend says of differences that have no number."""
    return [text for text in shown_texts(drawn(data)[1]) if text.startswith("none (")]


def test_why_there_is_no_difference_is_said():
    runs = [
        ({"note": note, "seed": seed}, {"thaws": NEVER if (note, seed) == ("b", 1) else 1.0})
        for note, seed in [("a", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2), ("c", 2)]
    ]
    table, _ = drawn(compared(runs))
    rows = table[(table["series"] == effects.DIFFERENCE) & (table["outcome"] == "thaws")]
    assert rows.set_index(["name", "seed"])["reason"].to_dict() == {
        ("note b against a", 0): effects.MISSING,
        ("note b against a", 1): NEVER,
        ("note b against a", 2): "",
        ("note c against a", 0): effects.MISSING,
        ("note c against a", 1): effects.MISSING,  # what run b says is not of this contrast
        ("note c against a", 2): "",
    }
    every = ", ".join(name.replace("_", " ") for name in ("frozen", *seeds.SECONDARY))
    assert of_legend(compared(runs)) == [
        f"none ({every}): {effects.MISSING}",
        f"none (thaws): {NEVER}",
    ]


def test_a_mean_effect_and_an_interaction_have_all_their_runs_reasons():
    cells = [(lr, beta) for lr in (1.0, 2.0) for beta in (0.1, 0.2)]
    runs = [
        ({"lr": lr, "beta1": beta, "seed": 0}, {"thaws": NEVER if lr == beta * 10 == 2 else 1.0})
        for lr, beta in cells
    ]
    table, _ = drawn(compared(runs))
    rows = table[(table["series"] == effects.DIFFERENCE) & (table["outcome"] == "thaws")]
    reasons = rows.set_index("name")["reason"]
    assert (reasons != "").tolist() == rows["value"].isna().tolist()
    assert set(reasons) == {"", NEVER}
    assert (reasons == NEVER).sum() == 2 + 2 + 1  # of the effects two have the run


def test_a_panel_without_a_number_has_no_scale():
    figure = drawn(varied({"lr": [1.0, 2.0]}, 1, last_motion=NEVER))[1]
    panels = {axes.get_xlabel(): axes for axes in figure.axes}
    empty, full = panels["last motion [update]"], panels["loss [nat]"]
    assert [label.get_text() for label in empty.get_xticklabels()] == ["none"]
    assert [text.get_text() for text in empty.texts] == ["no numbers"]
    dashed = [[line.get_linestyle() == "--" for line in axes.lines] for axes in (empty, full)]
    assert [sum(lines) for lines in dashed] == [0, 1]
    assert not full.texts


def test_what_is_not_there_is_said():
    _, alone = drawn(outcomes({("a", 0): np.nan}))
    assert shown_texts(alone) == ["no setting is changed alone"]


def names(data) -> set[str]:
    return set(effects.RECIPE.table([data])["name"])


def test_few_contrasts_are_all_drawn():
    data = varied({"precision": ["pure-bf16", "fp32"], "lr": [1e-3, 3e-4]}, 2)
    assert data.sizes["contrast"] == 4 + 2 + 1
    assert names(data) == set(data["contrast"].values)
    _, figure = drawn(data)
    assert not any("contrasts" in text for text in shown_texts(figure))


CUBE = {"precision": ["pure-bf16", "fp32"], "lr": [1e-3, 3e-4], "weight_decay": [0.0, 0.01, 0.1]}


def test_of_many_those_at_the_baselines_are_drawn_as_far_as_there_is_room():
    """Of a cube 4 effects, 8 main effects and 5 interactions are at the baselines of the others."""
    data = varied(CUBE, 2)
    kinds = dict(zip(data["contrast"].values, data["kind"].values, strict=True))
    baselines = dict(zip(data["contrast"].values, data["at_baseline"].values, strict=True))
    shown = names(data)
    assert {kinds[name] for name in shown} == {EFFECT, MAIN}
    assert len(shown) == 12
    assert all(baselines[name] for name in shown)
    left_out = [name for name in kinds if baselines[name] and name not in shown]
    assert {kinds[name] for name in left_out} == {INTERACTION}
    assert "lr 0.0003 against 0.001 (pure-bf16, weight decay 0.0)" in shown
    assert "lr 0.0003 against 0.001 (fp32, weight decay 0.0)" not in shown
    _, figure = drawn(data)
    assert f"drawn: 12 of {len(kinds)} contrasts; effects.csv has all" in shown_texts(figure)


def test_of_a_long_sweep_the_effects_at_the_baselines_are_drawn():
    shown = names(second_moment(1))
    assert len(shown) == 7
    assert all(name.endswith(("(pure-bf16)", "(beta2 0.999)")) for name in shown)


def test_without_a_baseline_the_first_contrasts_are_drawn():
    """The defaults of both keys are there, but together alone: no other run is at one of them."""
    cells = [(0.001, 0.9), *((lr, beta) for lr in (1.0, 2.0, 3.0, 4.0, 5.0) for beta in (0.1, 0.2))]
    data = compared([({"lr": lr, "beta1": beta, "seed": 0}, lr) for lr, beta in cells])
    assert data.sizes["contrast"] == 2 * 4 + 5
    assert not data["at_baseline"].any()
    assert names(data) == set(data["contrast"].values[:12])


def test_two_experiments_are_not_drawn_together():
    data = outcomes(TWO_SEEDS)
    with pytest.raises(UserError, match="2 files are given"):
        effects.RECIPE.table([data, data])
