"""Attribution: planted motion with known causes, and the whole against a brute-force sum."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from audit.test_audit import flip_lowest_bit, recorded_run
from planted import write_run
from tiny import LIVE, VOCABULARY, tiny_spec

from deadtokens.attribution import accumulator, attribution
from deadtokens.attribution.attribution import attribute_motion
from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.run import layout
from deadtokens.run.compiled_update import update_W
from deadtokens.run.precision import REGIMES
from deadtokens.run.rounding import ON_CPU
from deadtokens.run.rule import rule_of
from deadtokens.run.spec import RunSpec
from deadtokens.seal import seal
from deadtokens.trajectory import tiles
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import list_segments

LONG = np.longdouble
TERMS = ["decay", "present", "momentum", "rounding"]
AGES = ["0", "1-9", "10-99", ">=100", "rounding of the moment"]


def brute_force(run):
    """Return displacement, terms and ages of every value: (update, token, component, ...)."""
    spec = RunSpec.model_validate_json(run.attrs["spec"])
    W, g = (run[name].values.astype(LONG) for name in ("W", "grad"))
    m = run["exp_avg"].values.astype(LONG) if "exp_avg" in run else 0 * W
    t = np.arange(1, len(g) + 1)[:, None, None]
    lr = np.array([spec.lr * min(1, s / spec.warmup) if spec.warmup else spec.lr for s in t.flat])
    lr = lr[:, None, None].astype(LONG)
    b1, b2 = LONG(spec.beta1), LONG(spec.beta2)
    if spec.optimizer == "sgd":
        rate, taken = -lr, LONG(1)
    else:
        v = run["exp_avg_sq"].values.astype(LONG)
        rate = -lr / (1 - b1**t) / (np.sqrt(v[1:]) / np.sqrt(1 - b2**t) + spec.eps)
        taken = 1 - b1
    displacement = W[1:] - W[:-1]
    decay, present = -lr * spec.weight_decay * W[:-1], rate * taken * g
    momentum = rate * b1 * m[:-1]
    rounding = displacement - decay - present - momentum
    windows = []
    for low, high in ((1, 10), (10, 100), (100, len(g) + 1)):
        part = np.zeros_like(g)
        for age in range(low, min(high, len(g))):
            part[age:] += taken * b1**age * g[:-age]
        windows.append(rate * part)
    ages = [present, *windows, momentum - sum(windows)]
    return displacement, np.stack([decay, present, momentum, rounding], -1), np.stack(ages, -1)


def share(parts, displacement):
    """Return <part, displacement> / <displacement, displacement> over the last axis but one."""
    along = (parts * displacement[..., None]).sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (along / (displacement**2).sum(-1)[..., None]).astype(float)


def cosine(displacement, against):
    norms = np.sqrt((displacement**2).sum(-1) * (against**2).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (-(displacement * against).sum(-1) / norms).astype(float)


def close(found, expected, scale=1.0):
    np.testing.assert_allclose(
        np.asarray(found, float), np.asarray(expected, float), rtol=2e-7, atol=1e-9 * scale
    )


OTHERS = {  # beside AdamW in every regime
    "sgd": {"optimizer": "sgd", "lr": 0.5, "precision": "pure-bf16"},
    "sgd with a compensation": {"optimizer": "sgd", "lr": 0.5, "precision": "bf16-kahan"},
    "sgd without momentum": {"optimizer": "sgd", "lr": 1.0, "beta1": 0.0, "precision": "fp32"},
    "coupled-adam": {"optimizer": "coupled-adam", "precision": "bf16-kahan"},
    "coupled-adam, rounded once": {"optimizer": "coupled-adam", "precision": "mixed-bf16"},
}


@pytest.mark.parametrize("kind", [*REGIMES, *OTHERS])
def test_everything_agrees_with_a_brute_force_sum(kind, tmp_path):
    fields = {"weight_decay": 2.0, "warmup": 20, "lr": 1e-3}
    recorded_run(tmp_path, **fields | OTHERS.get(kind, {"precision": kind}))
    run, found = open_run(tmp_path), attribute_motion(tmp_path)
    displacement, terms, ages = brute_force(run)
    dead = run.dead.values.astype(bool)
    assert found["term"].values.tolist() == TERMS
    assert found["age"].values.tolist() == AGES
    for place, members in enumerate((dead, ~dead)):
        of = found.isel(population=place)
        moved = displacement[:, members]
        centroid = moved.mean(1)
        size = np.abs(terms).max()
        close(of.centroid_displacement, centroid, size)
        of_terms, of_ages = terms[:, members].mean(1), ages[:, members].mean(1)
        close(of.centroid_term, of_terms.swapaxes(1, 2), size)
        close(of.centroid_age, of_ages.swapaxes(1, 2), size)
        close(of.centroid_share, share(of_terms, centroid))
        close(of.centroid_age_share, share(of_ages, centroid))
        net = centroid.sum(0)
        close(of.cumulated_share, share(of_terms.cumsum(0), net[None]))
        close(of.cumulated_age_share, share(of_ages.cumsum(0), net[None]))
        rests = (moved == 0).all(-1)
        assert (of.tokens_at_rest.values == rests.sum(1)).all()
        shares = share(terms[:, members], moved)
        for index in range(len(moved)):
            there = shares[index][~rests[index]]
            if len(there):
                expected = np.quantile(there, found["quantile"], axis=0).T
                close(of.share_quantile[index], expected, scale=1e3)
    assert found.worst_closure < 1e-14
    assert 0.05 < found.worst_bound_ratio <= 1
    assert found.values_checked == 140 * VOCABULARY * 8
    assert found.values_not_finite == 0


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_cosines_agree_with_a_brute_force_sum(precision, tmp_path):
    recorded_run(tmp_path, precision=precision)
    run, found = open_run(tmp_path), attribute_motion(tmp_path)
    displacement, _, _ = brute_force(run)
    dead = run.dead.values.astype(bool)
    h = run.h_mean.values.astype(LONG)
    for place, members in enumerate((dead, ~dead)):
        of, moved = found.isel(population=place), displacement[:, members]
        for against, values in {"grad": run.grad, "exp_avg": run.exp_avg[1:]}.items():
            values = values.values[:, members].astype(LONG)
            close(of.centroid_cosine.sel(against=against), cosine(moved.mean(1), values.mean(1)))
            medians = np.nanquantile(cosine(moved, values), 0.5, axis=1)
            close(of.cosine_quantile.sel(against=against, quantile=0.5), medians, scale=100)
        close(of.centroid_cosine.sel(against="h_mean"), cosine(moved.mean(1), h))
        medians = np.nanquantile(cosine(moved, h[:, None]), 0.5, axis=1)
        close(of.cosine_quantile.sel(against="h_mean", quantile=0.5), medians, scale=100)


def test_what_a_compensation_carries_is_said(tmp_path):
    """Rounding is what went into it and came out again, but for what was lost in it itself."""
    tensors = ["W", "grad", "compensation"]
    recorded_run(tmp_path, precision="bf16-kahan", lr=1e-4, record={"tensors": tensors})
    run, found = open_run(tmp_path), attribute_motion(tmp_path)
    assert "c[t - 1] - c[t]" in found.attrs["rounding_includes"]
    dead = run.dead.values.astype(bool)
    c = run.compensation.values[:, dead].astype(LONG)
    of_dead = found.sel(population="dead")
    rounding = of_dead.centroid_term.sel(term="rounding").values
    carried = (c[:-1] - c[1:]).mean(1).astype(float)
    assert np.abs(rounding - carried).max() < 0.05 * np.abs(carried).max()
    left = (c[0] - c[-1]).mean(0).astype(float)
    assert np.abs(rounding.sum(0) - left).max() < 0.05 * np.abs(rounding).sum(0).max()
    pure = attribute_motion(recorded_run(tmp_path / "pure", precision="pure-bf16", lr=1e-4))
    assert "rounding_includes" not in pure.attrs


def test_net_shares_of_tokens_sum_the_whole_run(tmp_path):
    recorded_run(tmp_path, weight_decay=2.0)
    run, found = open_run(tmp_path), attribute_motion(tmp_path)
    displacement, terms, _ = brute_force(run)
    close(found.net_share, share(terms.sum(0), displacement.sum(0)))
    close(found.net_displacement_norm, np.sqrt((displacement.sum(0) ** 2).sum(-1)))
    assert found.net_share.sum("term").values == pytest.approx(1, abs=1e-12)


@pytest.fixture(scope="module")
def in_two_segments(tmp_path_factory):
    """Return the attribution of a run in two segments of more than 100 updates."""
    folder = tmp_path_factory.mktemp("two")
    recorded_run(folder, segments=2, record={"segment": 102}, beta1=0.97)
    return attribute_motion(folder)


@pytest.mark.parametrize("length", [34, 204])
def test_the_length_of_segments_changes_nothing(length, in_two_segments, tmp_path):
    recorded_run(tmp_path, segments=204 // length, record={"segment": length}, beta1=0.97)
    first, second = in_two_segments, attribute_motion(tmp_path)
    dead = first.sel(population="dead")
    old = dead.centroid_age.sel(age=">=100").values[150:]
    assert np.abs(old).max() > 1e-2 * np.abs(dead.centroid_displacement).values.max()
    for name in first.data_vars:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-9, atol=1e-12, err_msg=name)
    for name in ("centroid_age", "centroid_term", "share_quantile", "bound_ratio"):
        xr.testing.assert_equal(first[name], second[name])


def test_tiles_and_blocks_of_few_tokens_give_the_same(tmp_path, monkeypatch):
    recorded_run(tmp_path, precision="bf16-stochastic")
    whole = attribute_motion(tmp_path)
    monkeypatch.setattr(tiles, "token_tiles", lambda file: [range(5), range(5, VOCABULARY)])
    monkeypatch.setattr(accumulator, "WEIGHTS_TOGETHER", 24)
    split = attribute_motion(tmp_path)
    assert split.attrs == whole.attrs | {"worst_closure": split.worst_closure}
    for name in ("share_quantile", "tokens_at_rest", "net_share", "bound_ratio"):
        xr.testing.assert_allclose(split[name], whole[name], rtol=1e-6)
    xr.testing.assert_allclose(split.centroid_term, whole.centroid_term, atol=1e-18)


def of_some_tokens(found):
    """Leave out populations without tokens."""
    return found.isel(population=np.flatnonzero(found.tokens))


class TestPlantedCauses:
    """Trajectories of one cause each."""

    def record(self, folder, W, grads, boundaries=None, **fields):
        """Write what the run's own optimizer makes of W and the gradients."""
        spec = tiny_spec(width=W.shape[1], **fields)
        regime = REGIMES[spec.precision]
        W = W.to(getattr(torch, regime.weights))
        zeros = torch.zeros_like(W, dtype=getattr(torch, regime.moments))
        state = {"W": W.clone(), "exp_avg": zeros.clone(), "exp_avg_sq": zeros.clone()}
        states = {name: [tensor.clone()] for name, tensor in state.items()}
        grads = grads.to(W.dtype)
        for t, grad in enumerate(grads, start=1):
            update_W(rule_of(spec), state, grad, t, 0, ON_CPU)
            for name, tensor in state.items():
                states[name].append(tensor.clone())
        tensors = {name: torch.stack(list_) for name, list_ in states.items()} | {"grad": grads}
        attributes = {"spec": spec.json_text(), "device": "cpu"}
        write_run(folder, tensors, boundaries or (0, len(grads)), **attributes)
        return folder

    def test_momentum_alone_moves_once_gradients_stop(self, tmp_path):
        grads = torch.zeros(130, 6, 4)
        grads[0] = 1.0
        self.record(tmp_path, torch.full((6, 4), 0.5), grads, (0, 40, 130), precision="fp32",
                    beta1=0.98, lr=0.01)  # fmt: skip
        found = of_some_tokens(attribute_motion(tmp_path))
        shares = found.centroid_share.sel(population="dead")
        assert shares.sel(term="present")[0] == pytest.approx(1, abs=1e-5)
        assert shares.sel(term="momentum")[1:].values == pytest.approx(1, abs=1e-3)
        assert (shares.sel(term="present")[1:] == 0).all()
        assert (shares.sel(term="decay") == 0).all()
        ages = found.centroid_age_share.sel(population="live")
        names = ["0", *["1-9"] * 9, *["10-99"] * 90, *[">=100"] * 30]
        for index, name in enumerate(names):
            assert ages.sel(age=name)[index] == pytest.approx(1, abs=1e-3), index
        assert found.centroid_cosine.sel(against="exp_avg").values == pytest.approx(1, abs=1e-6)
        assert np.isnan(found.centroid_cosine.sel(against="grad")[1:]).all()

    def test_decay_alone(self, tmp_path):
        self.record(tmp_path, torch.full((6, 4), 0.5), torch.zeros(5, 6, 4), precision="fp32",
                    weight_decay=1.0, lr=0.01)  # fmt: skip
        found = of_some_tokens(attribute_motion(tmp_path))
        assert found.centroid_share.sel(term="decay").values == pytest.approx(1, abs=1e-5)
        expected = -0.01 * 0.5 * 0.99 ** np.arange(5)
        assert found.centroid_displacement[:, 0, 0].values == pytest.approx(expected, rel=1e-4)
        assert found.cumulated_share.sel(term="decay")[-1].values == pytest.approx(1, abs=1e-5)

    def test_at_rest_the_intended_update_is_what_rounding_took(self, tmp_path):
        """A step of 1e-4 does not move a bfloat16 weight of 1, whose half ulp is 2 ** -9 below."""
        self.record(tmp_path, torch.ones(6, 4), torch.ones(20, 6, 4), lr=1e-4)
        found = of_some_tokens(attribute_motion(tmp_path))
        assert np.isnan(found.centroid_share).all()
        assert np.isnan(found.share_quantile).all()
        assert np.isnan(found.net_share).all()
        assert found.tokens_at_rest.values.tolist() == [[2, 4]] * 20
        assert (found.centroid_displacement == 0).all()
        intended = found.centroid_intended_norm.values
        assert intended == pytest.approx(2e-4, rel=0.02)
        assert found.intended_norm_at_rest.values == pytest.approx(intended, rel=1e-9)
        rounding = found.centroid_term_norm.sel(term="rounding").values
        assert rounding == pytest.approx(intended, rel=1e-12)

    def test_rounding_alone_turns_a_step_of_half_an_ulp_into_a_whole_one(self, tmp_path):
        """1.5 * 2 ** -8 is beyond the middle between 1 and its neighbour 1 + 2 ** -7."""
        self.record(tmp_path, torch.ones(6, 4), -torch.ones(1, 6, 4), lr=1.5 * 2**-8,
                    precision="bf16-weights")  # fmt: skip
        found = of_some_tokens(attribute_motion(tmp_path))
        assert (found.centroid_displacement == 2**-7).all()
        assert found.centroid_share.sel(term="present").values == pytest.approx(0.75, abs=1e-5)
        assert found.centroid_share.sel(term="rounding").values == pytest.approx(0.25, abs=1e-5)
        assert found.worst_bound_ratio == pytest.approx(0.5, abs=1e-3)

    def test_ages_of_a_constant_gradient_are_the_weights_of_the_average(self, tmp_path):
        self.record(tmp_path, torch.full((3, 4), 0.5), torch.ones(150, 3, 4), precision="fp32")
        found = of_some_tokens(attribute_motion(tmp_path))
        last = found.centroid_age_share.isel(update=-1, population=0)
        b = 0.9
        expected = [1 - b, b - b**10, b**10 - b**100, b**100 - b**150]
        gradients = float(last.sum())
        assert (last.values[:4] / gradients) == pytest.approx(expected, rel=1e-4, abs=1e-9)

    def test_a_wrong_hyperparameter_breaks_the_bound(self, tmp_path):
        generator = torch.Generator().manual_seed(1)
        grads = torch.randn(12, 6, 4, generator=generator)
        self.record(tmp_path, torch.zeros(6, 4), grads, precision="mixed", lr=1e-3)
        attribute_motion(tmp_path)
        with_other_spec(tmp_path, lr=1.001e-3)
        with pytest.raises(UserError, match=r"update 1, token \d, component \d: rounding would"):
            attribute_motion(tmp_path)

    def test_gradients_one_update_late_break_the_bound(self, tmp_path):
        run = recorded_run(tmp_path / "true", precision="pure-bf16")
        tensors = {
            name: torch.from_numpy(values.values).bfloat16()
            for name, values in open_run(run)[["W", "grad", "exp_avg", "exp_avg_sq"]].items()
        }
        spec = {"spec": open_run(run).attrs["spec"], "device": "cpu"}
        write_run(tmp_path, tensors, (0, 140), **spec)
        attribute_motion(tmp_path)
        tensors["grad"] = tensors["grad"].roll(1, 0)
        (tmp_path / "late").mkdir()
        write_run(tmp_path / "late", tensors, (0, 140), **spec)
        with pytest.raises(UserError, match="cannot lose more than"):
            attribute_motion(tmp_path / "late")


def with_other_spec(folder, **fields):
    """Change what the segments say of their spec."""
    import h5py

    for path in list_segments(folder):
        with h5py.File(path, "r+") as file:
            file.attrs["spec"] = json.dumps(json.loads(file.attrs["spec"]) | fields)
        seal(path)


def test_a_flipped_bit_of_W_breaks_the_bound_where_it_is(tmp_path):
    run = recorded_run(tmp_path)
    flip_lowest_bit(list_segments(run)[1], "W", token=LIVE, component=5, index=66)
    with pytest.raises(UserError, match=f"update 13[67], token {LIVE}, component 5: rounding"):
        attribute_motion(run)


def test_a_diverged_run_is_attributed_until_its_end(tmp_path):
    run = recorded_run(tmp_path, segments=3, precision="mixed", lr=1e25)
    whole = open_run(run)
    assert whole.attrs["status"] == "diverged"
    found = attribute_motion(run)
    assert found.sizes["update"] == whole.sizes["update"] < 140
    assert found.attrs["status"] == "diverged"


def test_a_run_that_diverged_at_once_has_no_updates(tmp_path):
    run = recorded_run(tmp_path, embedding_std=1e38, precision="fp32")
    found = attribute_motion(run)
    assert found.sizes["update"] == 0
    assert found.sizes["token"] == VOCABULARY
    assert found.values_checked == 0
    assert np.isnan(found.net_share).all()


def test_a_vocabulary_without_dead_tokens(tmp_path, monkeypatch):
    run = recorded_run(tmp_path)
    monkeypatch.setattr(
        attribution,
        "open_run",
        lambda run: (opened := open_run(run)).assign(
            dead=opened.dead & False, sampled=opened.sampled * 0 + 1
        ),
    )
    found = attribute_motion(run)
    assert found.tokens.values.tolist() == [0, VOCABULARY, 0]
    assert np.isnan(found.centroid_share.sel(population="dead")).all()
    assert np.isfinite(found.share_quantile.sel(population="live")[0]).all()


def test_tokens_that_were_never_sampled_are_a_population_of_their_own(tmp_path, monkeypatch):
    run = recorded_run(tmp_path)
    apart, opened = [2, 5, 11], open_run(run)
    is_apart = opened.token.isin(apart)
    sampled = opened.sampled.load().where(~is_apart, 0)
    monkeypatch.setattr(attribution, "open_run", lambda run: open_run(run).assign(sampled=sampled))
    found = attribute_motion(run)
    dead = opened.dead.values.astype(bool)
    moved = opened.W.astype(float).diff("state").values
    for name, members in (
        ("dead", dead),
        ("live", ~dead & ~is_apart.values),
        ("never sampled", is_apart.values),
    ):
        of = found.sel(population=name)
        assert of.centroid_displacement.values == pytest.approx(moved[:, members].mean(axis=1))
        assert of.tokens == members.sum()
    assert np.flatnonzero(found.never_sampled).tolist() == apart


def test_a_run_without_gradients_is_refused(tmp_path):
    run = recorded_run(tmp_path, record={"tensors": ["W"]})
    with pytest.raises(UserError, match="without recorded grad, exp_avg, exp_avg_sq its motion"):
        attribute_motion(run)


def test_replayed_moments_change_nothing(tmp_path):
    whole, alone = (
        attribute_motion(recorded_run(tmp_path / "-".join(tensors), record={"tensors": tensors}))
        for tensors in (list(layout.TENSORS), ["grad"])
    )
    assert whole.drop_attrs().identical(alone.drop_attrs())


def test_the_command_writes_units_and_names(tmp_path):
    run = recorded_run(tmp_path)
    output = tmp_path / "attribution.nc"
    call("attribution", [*map(str, list_segments(run)), "--output", str(output)])
    found = xr.load_dataset(output)
    assert found.attrs["run"] == "tiny"
    assert all({"units", "long_name"} <= set(found[name].attrs) for name in found.variables)
    moving = ((found.tokens_at_rest == 0) & (found.tokens > 0)).transpose("update", "population")
    assert moving.any("update").values.tolist() == [True, True, False]
    assert found.centroid_share.sum("term").values[moving] == pytest.approx(1, abs=1e-9)
