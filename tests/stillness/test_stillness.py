"""Why components stood still, from the files of whole runs."""

from collections import Counter
from decimal import Decimal

import h5py
import numpy as np
import pytest
import torch
from audit.test_audit import recorded_run
from planted import write_run
from stillness.test_causes import exact_change, expected_cause, moved_by
from tiny import LIVE, VOCABULARY, tiny_spec

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.run.device import describe_device
from deadtokens.run.hyperparameters import Hyperparameters
from deadtokens.run.precision import REGIMES
from deadtokens.seal import seal
from deadtokens.stillness import stillness as module
from deadtokens.stillness.causes import CAUSES, HOLDERS
from deadtokens.stillness.findings import MOVED, Stillness
from deadtokens.stillness.stillness import explain_stillness
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import list_segments
from deadtokens.trajectory.updates import read_updates

DEAD = VOCABULARY - LIVE
# Without memory the exact moments of every update are g and g * g. With g = 1, lr = 2 ** -7 and
# W = 1.25, whose half ulp is 2 ** -8, the exact update moves; with g = 2 ** -14 eps stops it.
FORGETFUL = tiny_spec(beta1=0.0, beta2=0.0, eps=2.0**-10, lr=2.0**-7)
# cause: (g, m before the first update, recorded m, recorded v)
PLANTED = {
    "no gradient": (0, 0, 0, 1),
    "below half an ulp": (2**-14, 0, 1, 1),
    "another rounding": (1, 0, 1, 1),
    "first moment": (1, 0, 2**-4, 1),
    "second moment": (1, 0, 1, 2**8),
    "either": (1, 0, 0.6, 2.25),
    "both together": (1, 0, 2**-2, 2**4),
    "moved": (1, 0, 1, 1),
}


def planted_tensors(updates, tokens=4, dtype=torch.bfloat16, planted=PLANTED):
    """Return a run in which each component of each token is in one situation at all updates."""
    grad, first, m, v = np.array(list(planted.values()), float).T
    W = np.full((updates + 1, len(planted)), 1.25)
    W[:, list(planted).index("moved")] -= np.arange(updates + 1) * 2.0**-7
    moments = [np.tile(row, (updates + 1, 1)) for row in (m, v)]
    for tensor, start in zip(moments, (first, 0), strict=True):
        tensor[0] = start
    named = {"W": W, "exp_avg": moments[0], "exp_avg_sq": moments[1]}
    named["grad"] = np.tile(grad, (updates, 1))
    return {
        name: torch.from_numpy(np.tile(rows[:, None], (1, tokens, 1))).to(dtype)
        for name, rows in named.items()
    }


def planted_run(folder, tensors, boundaries=(0, 2, 5), spec=FORGETFUL):
    write_run(folder, tensors, boundaries, spec=spec.json_text(), device="elsewhere")
    return folder


def test_every_planted_cause_is_found(tmp_path):
    result = explain_stillness(planted_run(tmp_path, planted_tensors(5)))
    assert result.cause.values.tolist() == list(CAUSES)
    assert result.cause_total.sel(cause="compensated") == 0
    result = result.sel(cause=list(PLANTED)[:-1])
    assert result.token.values.tolist() == [0, 3]  # of the census of planted runs
    assert result.still_components.values.tolist() == [14] * 5
    assert result.still_fraction.values.tolist() == [14 / 16] * 5
    assert (result.cause_fraction.values == 1 / 7).all()
    assert result.cause_total.values.tolist() == [10] * 7
    assert (result.token_cause_total.values == 5).all()


# What keeps a planted component still, whatever else does.
HELD = {
    "no gradient": set(HOLDERS),
    "below half an ulp": {"weight", "weight, second moment"},  # the recorded m is large enough
    "another rounding": set(),
    "first moment": {"weight, first moment", "weight, both moments"},
    "second moment": {"weight, second moment", "weight, both moments"},
    "either": {"weight, both moments"},
    "both together": set(HOLDERS) - {"weight"},
}


def test_without_an_order_every_holder_counts(tmp_path):
    result = explain_stillness(planted_run(tmp_path, planted_tensors(5)))
    expected = Counter(holder for held in HELD.values() for holder in held)
    assert result.holder.values.tolist() == list(HOLDERS)
    assert result.holder_total.values.tolist() == [10 * expected[name] for name in HOLDERS]
    assert (result.holder_fraction * 7).values.tolist() == [[expected[n] for n in HOLDERS]] * 5
    found = {str(name): int(total) for name, total in result.combination_total.to_series().items()}
    for held in HELD.values():
        name = "; ".join(holder for holder in HOLDERS if holder in held) or "none"
        assert found.pop(name) == 10
    assert set(found.values()) == {0}


def test_reaches_are_measured_over_all_dead_components(tmp_path):
    """With D = sqrt(v) + eps the reach of m is 2 m / D walls."""
    result = explain_stillness(planted_run(tmp_path, planted_tensors(1), (0, 1)))
    eps = 2.0**-10
    m, v = torch.tensor(list(PLANTED.values())).bfloat16().double().T[2:]
    recorded = np.sort((2 * m / (v.sqrt() + eps)).numpy())
    exact = np.sort([0, 2 * 2**-14 / (2**-14 + eps), *[2 / (1 + eps)] * 6])
    places = {0.05: 0, 0.5: 3, 0.95: 7}
    for name, values in {"recorded": recorded, "exact": exact}.items():
        for quantile, place in places.items():
            found = result.reach.sel(moments=name, quantile=quantile).item()
            assert found == pytest.approx(values[place], rel=1e-6)


def test_second_moments_are_compared_with_the_exact_ones(tmp_path):
    tensors = planted_tensors(3)
    tensors["exp_avg_sq"][2, :, 2:6] = 0.5  # half of the components fall
    result = explain_stillness(planted_run(tmp_path, tensors, (0, 3)))
    assert result.second_moment_decreased.values.tolist() == [0, 0.5, 0]
    # Over the exact 0, 2 ** -28, 1, ..., 1: infinity, 2 ** 28, 1, 1, 256, 2.25, 16, 1.
    assert result.second_moment_ratio.values.tolist() == [2.25, 0.5, 2.25]


@pytest.mark.parametrize("boundaries", [(0, 5), (0, 1, 2, 3, 4, 5)])
def test_a_gradient_that_vanishes_is_remembered(boundaries, tmp_path):
    """The exact moments of update t know all gradients before it, whatever the files' cuts."""
    tensors = planted_tensors(5)
    tensors["grad"][1:] = 0
    spec = tiny_spec(beta1=0.5, beta2=0.5, eps=2.0**-10, lr=2.0**-7)
    result = explain_stillness(planted_run(tmp_path, tensors, boundaries, spec))
    part = 2.0 ** -np.arange(1, 6)  # m_x = v_x = 2 ** -t, and both bc = 1 - 2 ** -t
    walls = 2 * part / (1 - part) / (np.sqrt(part / (1 - part)) + 2.0**-10)
    upper = result.reach.sel(moments="exact", quantile=0.95).values
    assert upper == pytest.approx(walls, rel=1e-6)
    recorded = result.reach.sel(moments="recorded", quantile=0.95).values
    assert not np.allclose(recorded, walls, rtol=0.1)


def test_decay_that_chance_held_is_not_called_a_missing_gradient(tmp_path):
    planted = dict.fromkeys(["still", "moved"], (0, 0, 0, 0))
    tensors = planted_tensors(1, planted=planted)
    for weight_decay, cause in ((0.5, "another rounding"), (0.125, "no gradient")):
        spec = tiny_spec(lr=2.0**-7, weight_decay=weight_decay, precision="bf16-stochastic")
        moments = {name: tensors[name].float() for name in ("exp_avg", "exp_avg_sq")}
        folder = tmp_path / cause
        folder.mkdir()
        result = explain_stillness(planted_run(folder, tensors | moments, (0, 1), spec))
        assert result.cause_total.sel(cause=cause) == 2
        assert result.cause_total.sum() == 2


@pytest.mark.parametrize("precision", REGIMES)
def test_fractions_are_complete_in_every_regime(precision, tmp_path):
    fields = {"weight_decay": 0.5, "warmup": 20, "lr": 1e-4}
    run = recorded_run(tmp_path, segments=1, precision=precision, **fields)
    result = explain_stillness(run)
    W = open_run(run).W.values[:, LIVE:].view(np.uint32)
    still = W[1:] == W[:-1]
    assert result.still_components.values.tolist() == still.sum(axis=(1, 2)).tolist()
    assert (result.token_cause_total.sum("cause").values == still.sum(axis=(0, 2))).all()
    assert result.combination_total.sum() == still.sum()
    of_weights = result.cause_total.sel(cause="below half an ulp")
    assert result.holder_total.sel(holder="weight") >= of_weights
    some = result.still_components.values > 0
    sums = result.cause_fraction.sum("cause", skipna=False).values
    assert sums[some] == pytest.approx(np.ones(some.sum()), abs=1e-12)
    assert np.isnan(sums[~some]).all()
    if REGIMES[precision].weights == "bfloat16":
        assert result.still_fraction.max() > 0.3
    causes = ["first moment", "second moment", "either", "both together"]
    held_by_moments = result.cause_total.sel(cause=causes).values
    compensated = int(result.cause_total.sel(cause="compensated"))
    assert (compensated > 0) == (precision == "bf16-kahan")
    if REGIMES[precision].moments == "float32":
        assert result.attrs["replayed_moments_differing"] == 0
        assert (held_by_moments == 0).all()
        assert (result.holder_total == result.holder_total[0]).all()  # no moment is rounded
        assert (result.second_moment_ratio == 1).all()
        reach = result.reach.values
        assert (reach[:, 0] == reach[:, 1]).all()
    else:
        assert "replayed_moments_differing" not in result.attrs
        held = REGIMES[precision].weights == "bfloat16"  # in float32 nothing is lost
        assert (held_by_moments.sum() > 0) == held


OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "lr": 1e-2},
    "sgd without momentum": {"optimizer": "sgd", "beta1": 0.0, "lr": 1e-1},
    "coupled-adam": {"optimizer": "coupled-adam", "lr": 1e-4},
}


@pytest.mark.parametrize("precision", ["pure-bf16", "bf16-kahan", "bf16-weights", "fp32"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_is_explained(optimizer, precision, tmp_path):
    run = recorded_run(tmp_path, segments=1, precision=precision, **OPTIMIZERS[optimizer])
    result = explain_stillness(run)
    W = open_run(run).W.values[:, LIVE:].view(np.uint32)
    still = W[1:] == W[:-1]
    assert result.cause_total.sum() == still.sum()
    if REGIMES[precision].moments == "float32":
        assert result.attrs["replayed_moments_differing"] == 0
    of_second = result[["second_moment_decreased", "second_moment_ratio"]].to_array()
    adaptive = optimizer == "coupled-adam"
    assert np.isnan(of_second).all() != adaptive
    if not adaptive:
        blamed = result.cause_total.sel(cause=["second moment", "either", "both together"])
        assert (blamed == 0).all()


def test_an_update_that_waits_in_the_compensation_is_told_from_a_lost_one(tmp_path):
    """SGD of a quarter of half an ulp an update, and of 2 ** -20 of it, which c cannot take."""
    grad = torch.tensor([0.25, 2.0**-20, 0.0]).bfloat16().expand(3, 4, 3).clone()
    W = torch.full((4, 4, 3), 1.25).bfloat16()
    held = torch.full((4, 4, 3), -(2.0**-10)).bfloat16()  # of half an ulp a quarter
    held[1:, :, 0] -= 2.0**-10 * torch.arange(1, 4)[:, None]
    spec = tiny_spec(
        optimizer="sgd", beta1=0.0, lr=2.0**-8, precision="bf16-kahan", width=3, heads=1
    )
    tensors = {"W": W, "grad": grad, "compensation": held.bfloat16()}
    result = explain_stillness(planted_run(tmp_path, tensors, (0, 3), spec))
    totals = {name: int(result.cause_total.sel(cause=name)) for name in CAUSES}
    found = {name: total for name, total in totals.items() if total}
    # Of the two dead tokens: three updates of each component; the last of the first is a tie.
    assert found == {"compensated": 6, "below half an ulp": 6, "no gradient": 6}


def test_a_record_that_does_not_follow_from_its_gradients_is_noticed(tmp_path, monkeypatch):
    run = recorded_run(tmp_path, segments=1, precision="bf16-weights")
    (path,) = list_segments(run)

    def write(device, packages):
        with h5py.File(path, "r+") as file:
            file["exp_avg"][LIVE, 3, 50] *= 2
            file.attrs["device"], file.attrs["packages"] = device, packages
        seal(path)

    here = describe_device(torch.device("cpu"))
    write("another device", f"torch {torch.__version__}, and more")
    assert explain_stillness(run).attrs["replayed_moments_differing"] == 1
    write(here, "torch 1.0, and more")
    assert explain_stillness(run).attrs["replayed_moments_differing"] == 1
    write(here, f"torch {torch.__version__}, and more")
    with pytest.raises(AssertionError, match="1 moments replayed from the gradients"):
        explain_stillness(run)


@pytest.mark.parametrize(("beta2", "decreases"), [(0.999, False), (0.99, True)])
def test_bfloat16_second_moments_decrease_below_the_border_only(beta2, decreases, tmp_path):
    fields = {"segments": 1, "beta2": beta2, "lr": 1e-2}
    result = explain_stillness(recorded_run(tmp_path, **fields))
    assert bool((result.second_moment_decreased > 0).any()) == decreases
    float32 = recorded_run(tmp_path / "float32", precision="bf16-weights", **fields)
    assert (explain_stillness(float32).second_moment_decreased > 0).any()


def test_the_causes_in_a_run_are_those_of_decimals(tmp_path, monkeypatch):
    """Gradients to moments to causes, all by decimals and whole numbers; few are close calls."""
    run = recorded_run(tmp_path, segments=1, weight_decay=0.5, lr=1e-4, record={"segment": 110})
    findings = []
    monkeypatch.setattr(Stillness, "add", lambda self, place, finding: findings.append(finding))
    explain_stillness(run)
    hyper, exact = Hyperparameters(0.9, 0.999, 1e-8, 0.5), {}
    checked, seen = Counter(), 0
    for update, finding in zip(
        read_updates(run, np.arange(LIVE, VOCABULARY)), findings, strict=True
    ):
        for at in np.ndindex(DEAD, 8):
            g = Decimal(update.grad[at].item())
            m, v = exact.get(at, (Decimal(0), Decimal(0)))
            exact[at] = (
                Decimal("0.9") * m + Decimal("0.1") * g,
                Decimal("0.999") * v + Decimal("0.001") * g * g,
            )
            if finding.kind[at] != MOVED:
                seen += 1
                expected = cause_by_decimals(update, at, exact[at], hyper)
                if expected is not None:
                    checked[expected] += 1
                    assert CAUSES[finding.kind[at]] == expected
    assert checked.total() >= 0.99 * seen > 800, checked
    assert len(checked) > 3, checked


def cause_by_decimals(update, at, exact, hyper):
    """Return the cause for one component, None if a change is within 1e-5 of its wall."""
    W = update.before["W"]
    recorded = [Decimal(update.after[name][at].item()) for name in ("exp_avg", "exp_avg_sq")]
    pairs = {"r": recorded, "x": exact}
    answers = {
        m + v: moved_by(
            W, at, exact_change(W[at], pairs[m][0], pairs[v][1], update.number, 1e-4, hyper)
        )
        for m in pairs
        for v in pairs
    }
    if min(distance for _, distance in answers.values()) < 1e-5:
        return None
    without = update.grad[at] == 0 and update.before["exp_avg"][at] == 0
    return expected_cause({names: moves for names, (moves, _) in answers.items()}, without)


@pytest.mark.parametrize(("precision", "lr"), [("pure-bf16", 1e-4), ("fp32", 1e-9)])
def test_segment_boundaries_do_not_matter(precision, lr, tmp_path):
    results = []
    for length in (72, 24):
        folder = tmp_path / str(length)
        record = {"record": {"segment": length}}
        run = recorded_run(folder, segments=72 // length, precision=precision, lr=lr, **record)
        results.append(explain_stillness(run).drop_attrs(deep=False))
    assert results[0].sizes["update"] == 72
    assert results[0].still_components.sum() > 0
    assert results[0].identical(results[1])


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_chosen_rows_are_read_as_recorded(precision, tmp_path):
    run = recorded_run(tmp_path, precision=precision, record={"segment": 100})  # of two chunks
    whole, tokens = open_run(run).load(), np.array([0, 2, LIVE, VOCABULARY - 1])
    updates = list(read_updates(run, tokens))
    assert [update.number for update in updates] == list(range(1, 201))
    for place, update in enumerate(updates):
        assert (update.grad.float().numpy() == whole.grad.values[place, tokens]).all()
        for name, after in update.after.items():
            assert str(after.dtype) == f"torch.{whole[name].attrs['recorded_dtype']}"
            assert (after.float().numpy() == whole[name].values[place + 1, tokens]).all()
            before = update.before[name].float().numpy()
            assert (before == whole[name].values[place, tokens]).all()


def test_a_run_without_dead_tokens_gives_an_empty_result(tmp_path, monkeypatch):
    monkeypatch.setattr("planted.census", lambda tokens: no_dead(tokens))
    run = planted_run(tmp_path / "trajectory", planted_tensors(5))
    output = tmp_path / "stillness.nc"
    call("stillness", [*map(str, list_segments(run)), "--output", str(output)])
    result = module.xr.load_dataset(output)
    assert result.sizes == {
        "update": 5, "cause": 8, "token": 0, "moments": 2, "quantile": 3,
        "holder": 4, "combination": 16,
    }  # fmt: skip
    assert (result.still_components == 0).all()
    assert np.isnan(result.still_fraction).all()
    assert np.isnan(result.cause_fraction).all()


def no_dead(tokens):
    return module.xr.Dataset(
        {"dead": ("token", np.zeros(tokens, bool))}, coords={"token": np.arange(tokens)}
    )


@pytest.mark.parametrize(("precision", "lr"), [("fp32", 1e30), ("pure-bf16", 1e30)])
def test_a_run_that_diverges_is_explained_up_to_there(precision, lr, tmp_path):
    run = recorded_run(tmp_path, precision=precision, lr=lr)
    result = explain_stillness(run)
    assert result.attrs["status"] == "diverged"
    assert result.sizes["update"] == result.attrs["diverged_at"] - 1 < 5
    assert (result.cause_total.sum() == result.still_components.sum()).all()


def test_a_run_without_a_tensor_is_refused(tmp_path):
    run = recorded_run(tmp_path, record={"tensors": ["W", "exp_avg"]})
    with pytest.raises(
        UserError, match="takes W, grad, exp_avg, exp_avg_sq, but grad, exp_avg_sq was"
    ):
        explain_stillness(run)
