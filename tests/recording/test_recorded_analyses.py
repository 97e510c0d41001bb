"""What the analyses say of trainings that are not ours, against formulas and loops of the test."""

import gc

import numpy as np
import pytest
import torch
from foreign import LIVE, TOKENS, Model, loss_of, train

from deadtokens.attribution.attribution import attribute_motion
from deadtokens.audit.audit import audit_run
from deadtokens.drift.drift import measure_drift
from deadtokens.errors import UserError
from deadtokens.freezing.freezing import measure_freezing
from deadtokens.freezing.sharpening import measure_sharpening
from deadtokens.recording.forgotten import finish_forgotten
from deadtokens.recording.recorder import Recorder
from deadtokens.stillness.stillness import explain_stillness
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.rule import rule_of_run

ADAMW, ADAM, SGD = torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD
IMPLEMENTATIONS = {
    "single": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
UPDATES = 45


def record(folder, kind=ADAMW, dtype=torch.float32, updates=UPDATES, told=True, **options):
    """Record a training in segments of 20 updates; return its folder."""
    names = ("rows", "live", "counts", "unembedding")
    ours = {name: options.pop(name) for name in names if name in options}
    model = Model().to(dtype)
    optimizer = kind(model.parameters(), **{"lr": 0.01} | options)
    if ours.pop("unembedding", False):
        ours["unembedding"] = model.unembedding
    if told and "counts" not in ours:
        ours["embedding"] = model.embedding
    if not told:
        ours["embedding"] = None
    weight = model.embedding.weight
    with Recorder(folder, weight, optimizer, segment=20, on_failure="raise", **ours):
        train(model, optimizer, range(updates))
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_audit_says_which_implementation_moved_a_training(tmp_path, implementation, dtype):
    found = audit_run(record(tmp_path, ADAMW, dtype, **IMPLEMENTATIONS[implementation]))
    assert found["implementation"] == implementation
    assert implementation in found["reproduced_by"]
    assert found["identical"]
    assert found["controls_detected"]
    for tally in found["tensors"].values():
        assert (tally["compared"], tally["differing"]) == (UPDATES * TOKENS * 6, 0)
    others = IMPLEMENTATIONS.keys() - found["reproduced_by"]
    assert ("fused" in others) == (implementation != "fused")  # it rounds in other places
    for name in others:
        tensors = found["implementations"][name]["tensors"]
        assert tensors["W"]["differing"] > 0
        assert tensors["W"]["largest_ulps"] > 0


OTHERS = {
    "Adam whose decay is in its gradients": (ADAM, {"weight_decay": 0.1}),
    "SGD with decay": (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    "SGD with Nesterov's momentum": (
        SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "foreach": True},
    ),
    "SGD with dampening": (SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    "AdamW that climbs": (ADAMW, {"maximize": True}),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_torch_has_is_replayed_even_where_it_cannot_be_taken_apart(tmp_path, kind):
    optimizer, options = OTHERS[kind]
    run = record(tmp_path, optimizer, **options)
    assert audit_run(run)["identical"]
    for analysis in (attribute_motion, explain_stillness):
        with pytest.raises(UserError, match="so its motion cannot be taken apart"):
            analysis(run)
    assert "forces of the optimizer" in measure_sharpening(run).attrs["left_out"]


def test_one_number_of_one_update_is_missed_if_it_is_wrong(tmp_path, monkeypatch):
    """The negative control of exact numbers: float32 would lose bits of beta2."""
    run = record(tmp_path)
    exact = rule_of_run(open_run(run))
    assert exact.step(7).hyper.beta2 == 0.999
    rounded = exact.numbers | {"beta2": exact.numbers["beta2"].astype(np.float32).astype(float)}
    monkeypatch.setattr("deadtokens.trajectory.rule._numbers", lambda run, kind: rounded)
    assert audit_run(run)["tensors"]["exp_avg_sq"]["differing"] > 100


@pytest.mark.parametrize("tensor", ["W", "exp_avg"])
def test_what_torch_does_not_count_as_a_write_is_found_by_the_audit(tmp_path, tensor):
    """A change through `.data` between the updates 5 and 6."""
    model = Model()
    weight = model.embedding.weight
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with Recorder(tmp_path, weight, optimizer, embedding=model.embedding) as recorder:
        train(model, optimizer, range(5))
        (optimizer.state[weight] | {"W": weight})[tensor].data[3] *= 0.75
        seen = train(model, optimizer, range(5, 9))
    assert recorder.failure is None
    run = open_run(tmp_path)
    assert np.array_equal(run.W[6:], seen.W[1:])
    assert np.array_equal(run.grad[5:], seen.grad)
    audit = audit_run(tmp_path)
    assert not audit["identical"]
    firsts = [one["first"] for one in audit["tensors"].values() if one["first"]]
    assert {(first["update"], first["token"]) for first in firsts} == {(6, 3)}
    with pytest.raises(UserError, match=r"update 6, token 3, .*: rounding would have to explain"):
        attribute_motion(tmp_path)


def test_a_record_that_begins_in_the_midst_of_a_training(tmp_path):
    model = Model()
    optimizer = ADAMW(model.parameters(), lr=0.01, weight_decay=0.3)
    train(model, optimizer, range(30))
    weight = model.embedding.weight
    before = optimizer.state[weight]["exp_avg"].double().numpy().copy()
    with Recorder(tmp_path, weight, optimizer, segment=20, embedding=model.embedding):
        seen = train(model, optimizer, range(30, 50))
    run = open_run(tmp_path)
    rule = rule_of_run(run)
    assert (rule.before, rule.step(1).t) == (30, 31)
    assert audit_run(tmp_path)["identical"]
    assert explain_stillness(tmp_path).attrs["replayed_moments_differing"] == 0
    motion = attribute_motion(tmp_path)
    # The first update by hand, in float64: what was remembered before it counts as the oldest.
    m, v = run.exp_avg[0].values.astype(float), run.exp_avg_sq[1].values.astype(float)
    assert np.array_equal(m, before)
    step = 0.01 / (1 - 0.9**31)
    momentum = -step * 0.9 * m / (np.sqrt(v) / np.sqrt(1 - 0.999**31) + 1e-8)
    dead = motion.dead.values
    first = motion.isel(update=0).sel(population="dead")
    assert first.centroid_term.sel(term="momentum").values == pytest.approx(
        momentum[dead].mean(0), rel=1e-9
    )
    assert first.centroid_age.sel(age=">=100").values == pytest.approx(
        momentum[dead].mean(0), rel=1e-9
    )
    assert first.centroid_age.sel(age="1-9").values == pytest.approx(np.zeros(6), abs=1e-15)
    moved = (seen.W[1].astype(float) - seen.W[0])[dead].mean(0)
    assert first.centroid_displacement.values == pytest.approx(moved, rel=1e-12)
    decay = -0.01 * 0.3 * seen.W[0][dead].astype(float).mean(0)
    assert first.centroid_term.sel(term="decay").values == pytest.approx(decay, rel=1e-12)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_every_displacement_of_another_training_is_the_sum_of_its_terms(tmp_path, implementation):
    """In bfloat16, where rounding is large, and within the bound of its operations."""
    run = record(tmp_path, ADAMW, torch.bfloat16, **IMPLEMENTATIONS[implementation])
    motion = attribute_motion(run)
    assert motion.attrs["values_checked"] == UPDATES * TOKENS * 6
    assert 0.1 < motion.attrs["worst_bound_ratio"] <= 1
    assert motion.attrs["recorded"] == open_run(run).attrs["recorded"]
    assert "spec" not in motion.attrs
    causes = explain_stillness(run)
    W = open_run(run).W.values[:, LIVE:]
    assert causes.cause_total.sum() == (W[1:] == W[:-1]).sum()


def test_numbers_that_change_are_replayed_and_not_averaged(tmp_path):
    model = Model()
    optimizer = ADAMW(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=30)
    with Recorder(tmp_path, model.embedding.weight, optimizer, embedding=model.embedding):
        for update in range(20):
            optimizer.zero_grad()
            loss_of(model, update).backward()
            optimizer.step()
            schedule.step()
    assert audit_run(tmp_path)["identical"]
    with pytest.raises(UserError, match="its beta1 changes at update 2, and this analysis"):
        attribute_motion(tmp_path)
    assert "its beta1 changes at update 2" in measure_sharpening(tmp_path).attrs["left_out"]
    assert explain_stillness(tmp_path).sizes["update"] == 20
    assert measure_freezing(tmp_path).sizes["update"] == 20


OPTIONS = {
    "Nesterov's": (SGD, {"momentum": 0.9}, {"nesterov": True}, "nesterov is False before and True"),
    "amsgrad": (ADAMW, {"amsgrad": True}, {"amsgrad": False}, "amsgrad is True before and False"),
    "decay": (
        ADAM,
        {"weight_decay": 0.1},
        {"decoupled_weight_decay": True},
        "decoupled_weight_decay is False before and True",
    ),
    "implementation": (ADAMW, {"foreach": False}, {"foreach": True}, None),
    "rate": (ADAMW, {"lr": 0.01}, {"lr": 0.005}, None),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_options_that_change_at_a_restart_are_one_sentence(tmp_path, kind):
    optimizer, first, then, sentence = OPTIONS[kind]
    model = Model()
    made = optimizer(model.parameters(), **{"lr": 0.01} | first)
    for updates in (range(5), range(5, 9)):
        with Recorder(tmp_path, model.embedding.weight, made, embedding=model.embedding):
            seen = train(model, made, updates)
        made.param_groups[0] |= then
    run = open_run(tmp_path)
    assert np.array_equal(run.W[5:], seen.W)
    if sentence is None:
        assert audit_run(tmp_path)["identical"]
        assert attribute_motion(tmp_path).sizes["update"] == 9
        return
    why = rf"options change at update 6 \(segment-001.nc\): {sentence} from there on; this takes"
    for analysis in (audit_run, attribute_motion, explain_stillness):
        with pytest.raises(UserError, match=why):
            analysis(tmp_path)
    assert measure_freezing(tmp_path).sizes["update"] == 9
    assert measure_drift(tmp_path).sizes["state"] == 10


def test_an_optimizer_that_nobody_knows_still_drifts_and_freezes(tmp_path):
    run = record(tmp_path, torch.optim.RMSprop, lr=0.001, momentum=0.5)
    frozen, drift = measure_freezing(run), measure_drift(run)
    W = open_run(run).W.values
    still = (W[1:, LIVE:] == W[:-1, LIVE:]).all(axis=2).mean(axis=1)
    assert np.array_equal(frozen.frozen_fraction.sel(population="dead"), still)
    centroid = W[:, LIVE:].astype(float).mean(axis=1)
    assert drift.centroid.sel(population="dead").values == pytest.approx(centroid, abs=1e-7)
    for analysis, what in ((audit_run, "replayed"), (attribute_motion, "taken apart")):
        with pytest.raises(UserError, match=f"torch.optim.rmsprop.RMSprop .* cannot be {what}"):
            analysis(run)


def test_what_a_record_without_predictions_cannot_say(tmp_path):
    with_predictions = record(tmp_path / "with", unembedding=True)
    without = record(tmp_path / "without")
    one, other = measure_drift(with_predictions), measure_drift(without)
    directions = [name for name in one.candidate.values if "hidden" in name]
    assert len(directions) > 1
    assert np.isfinite(one.cosine.sel(candidate=directions)).any()
    assert np.isnan(other.cosine.sel(candidate=directions)).all()
    assert np.array_equal(one.centroid, other.centroid, equal_nan=True)
    assert "the mean hidden state was not recorded" in other.attrs["left_out"]
    assert "hidden" not in one.attrs["left_out"]
    sharpening = measure_sharpening(without)
    assert "probability_median" not in sharpening
    assert "the mean probabilities were not recorded" in sharpening.attrs["left_out"]
    assert np.array_equal(measure_sharpening(with_predictions).wall_median, sharpening.wall_median)
    motion = attribute_motion(without)
    assert "cosines against h_mean" in motion.attrs["left_out"]
    assert np.isnan(motion.centroid_cosine.sel(against="h_mean")).all()
    assert np.isfinite(motion.centroid_cosine.sel(against="grad")).any()


def test_the_dead_of_a_record_of_dead_rows_have_their_numbers_in_the_vocabulary(tmp_path):
    counts = np.where(np.arange(TOKENS) < LIVE, 5, 0)
    part = record(tmp_path / "dead", counts=counts, rows="dead")
    whole = record(tmp_path / "all", counts=counts)
    dead = list(range(LIVE, TOKENS))
    for analysis in (measure_freezing, measure_drift, attribute_motion):
        assert analysis(part).token.values.tolist() == dead
    assert explain_stillness(part).token.values.tolist() == dead
    few, all_rows = measure_freezing(part), measure_freezing(whole)
    assert np.array_equal(few.last_change, all_rows.last_change[LIVE:])
    assert few.attrs["vocabulary_size"] == TOKENS
    assert audit_run(part)["identical"]
    shares = [attribute_motion(run).centroid_share.sel(population="dead") for run in (part, whole)]
    assert shares[0].values == pytest.approx(shares[1].values, rel=1e-9)


OF_ALL_ROWS = {"mean_embedding_ratio_all", "entropy_of_mean"}
OF_ALL_DEAD_ROWS = {"dead_probability_sum"}
ROWS = {  # which are recorded, and what cannot be said then
    "all": ({}, set()),
    "each": ({"rows": range(TOKENS)}, set()),
    "dead": ({"rows": "dead", "live": 5}, OF_ALL_ROWS),
    "half of the dead": ({"rows": range(25, 35)}, OF_ALL_ROWS | OF_ALL_DEAD_ROWS),
}


@pytest.fixture(scope="module")
def of_all_rows(tmp_path_factory):
    """Return by hand what is of all rows, of the training that `record` makes."""
    run = open_run(record(tmp_path_factory.mktemp("all"), unembedding=True))
    W, probability = run.W.values.astype(float), run.probability.values.astype(float)
    return {
        "mean_embedding_ratio_all": np.linalg.norm(W.mean(axis=1), axis=1)
        / np.linalg.norm(W, axis=2).mean(axis=1),
        "entropy_of_mean": -(probability * np.log(probability)).sum(axis=1),
        "dead_probability_sum": probability[:, LIVE:].sum(axis=1),
    }


@pytest.mark.parametrize("which", ROWS)
def test_what_is_of_all_rows_is_not_said_of_some(which, tmp_path, of_all_rows):
    rows, unknown = ROWS[which]
    counts = np.where(np.arange(TOKENS) < LIVE, 5, 0)
    run = record(tmp_path, counts=counts, unembedding=True, **rows)
    analyses = measure_drift(run), measure_sharpening(run)
    values = {name: one for found in analyses for name, one in found.data_vars.items()}
    left_out = " ".join(found.attrs["left_out"] for found in analyses)
    for name, expected in of_all_rows.items():
        assert (name in left_out) == (name in unknown)
        if name in unknown:
            assert np.isnan(values[name]).all()
        else:
            assert values[name].values == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(values["mean_embedding_ratio"].sel(population="dead")).all()
    assert np.isfinite(values["entropy"]).all()  # of the logits, which were all there


def test_who_is_dead_is_counted_told_or_asked_for(tmp_path):
    counted = measure_freezing(record(tmp_path / "counted"))
    met = open_run(tmp_path / "counted").sampled.values > 0
    assert np.array_equal(counted.dead, ~met)
    counts = np.arange(TOKENS) < 7
    told = measure_freezing(record(tmp_path / "told", counts=counts, told=False))
    assert told.dead.values.tolist() == [False] * 7 + [True] * (TOKENS - 7)
    assert not told.never_sampled.any()  # nobody counted
    with pytest.raises(
        UserError, match="which of its tokens are dead is not known: the recorder w"
    ):
        measure_freezing(record(tmp_path / "neither", told=False))


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("why", ["eval", "compiled", "looked up"])
def test_a_record_that_counted_nothing_names_what_may_be_the_cause(tmp_path, why):
    """Each of these is one: the embedding that holds the weight was found, and heard nothing."""
    model = Model()
    optimizer = ADAMW(model.parameters())
    if why == "eval":
        model.eval()
    elif why == "compiled":
        model.forward = torch.compile(model.forward, backend="eager")
        loss_of(model, 0)
    else:
        model.forward = lambda ids: model.embedding.weight[ids] @ model.embedding.weight.T
    with Recorder(tmp_path, model.embedding.weight, optimizer, on_failure="raise"):
        train(model, optimizer, range(2))
    assert "dead" not in open_run(tmp_path)
    with pytest.raises(UserError) as told:
        measure_freezing(tmp_path)
    cause = {
        "eval": "was in its eval mode",
        "compiled": "was compiled before the recorder was made",
        "looked up": "looks up the rows itself",
    }
    assert cause[why] in str(told.value)
    assert str(told.value).endswith("the module that reads the tokens as `embedding`")


def test_a_token_that_was_met_is_not_dead_whatever_counts_say(tmp_path):
    counts = np.where(np.arange(TOKENS) < LIVE - 10, 5, 0)
    with pytest.warns(UserWarning, match=f"{tmp_path}: counts: calls tokens dead") as told:
        record(tmp_path, counts=counts)
    assert len(told) == 1  # in three files
    assert "by now: 10, the first is token 20; they do not count as dead" in str(told[0].message)
    run = open_run(tmp_path)
    met = run.sampled.values > 0
    assert met[:LIVE].all() and not met[LIVE:].any()
    freezing = measure_freezing(tmp_path)
    for found in (run, freezing, attribute_motion(tmp_path)):
        assert np.array_equal(found.dead, ~met)
    assert explain_stillness(tmp_path).token.values.tolist() == list(range(LIVE, TOKENS))
    assert not freezing.never_sampled.any()
    alone = open_run(sorted(tmp_path.glob("segment-*.nc"))[:1])
    assert np.array_equal(alone.dead, alone.sampled == 0)


def test_a_recorder_that_nobody_closed_tells_what_counts_contradict(tmp_path, caplog):
    model = Model()
    optimizer = ADAMW(model.parameters())
    counts = np.zeros(TOKENS, int)
    Recorder(tmp_path, model.embedding.weight, optimizer, counts=counts)
    train(model, optimizer, range(3))
    del optimizer
    gc.collect()
    finish_forgotten()
    assert caplog.text.count("the training has met, so many of them by now: 30, the first is") == 1
    assert not open_run(tmp_path).dead.values[:LIVE].any()


def test_a_run_says_which_tokens_are_dead_wherever_it_is_known(tmp_path):
    counted = open_run(record(tmp_path / "counted"))
    assert counted.dead.values.tolist() == [token >= LIVE for token in range(TOKENS)]
    assert counted.dead.attrs == {
        "long_name": "the token stood in no batch of the run",
        "units": "1",
    }
    told = open_run(record(tmp_path / "told", counts=np.arange(TOKENS) < 35))
    assert told.dead.values.tolist() == [token >= 35 for token in range(TOKENS)]
    assert told.dead.attrs["long_name"] == "whether the token never occurs in the training text"
    assert "dead" not in open_run(record(tmp_path / "neither", told=False))
