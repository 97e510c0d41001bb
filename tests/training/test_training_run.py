"""Runs: formats of each regime, determinism, pieces, checkpoints, divergence."""

import numpy as np
import pytest
import torch
import xarray as xr
from tiny import VOCABULARY, bits, tiny_census, tiny_spec, tiny_trainer, write_vocabulary

from deadtokens.errors import UserError
from deadtokens.run.clipping import clip_scale
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import batch_seed
from deadtokens.seal import seal
from deadtokens.training.batches import batch_starts
from deadtokens.training.checkpoint import load_checkpoint, save_checkpoint
from deadtokens.training.segment import train_segment
from deadtokens.trajectory.reader import open_run

ORIGIN = {"spec": "s", "text": "t", "device": "cpu", "torch": "2"}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(folder)
    return folder


def train(spec, vocabulary, folder, segments):
    """Train the given segments into `folder`, each from the checkpoint before it."""
    for segment in segments:
        train_segment(
            "tiny",
            spec,
            segment,
            vocabulary / "stream.nc",
            vocabulary / "census.nc",
            folder / f"{segment - 1}.safetensors" if segment else None,
            folder / f"segment-{segment:03d}.nc",
            folder / f"{segment}.safetensors",
        )
    return open_run(folder).load()


def assert_same_bits(one, other):
    assert set(one.variables) == set(other.variables)
    for name in one.variables:
        if one[name].dtype.kind == "f":
            assert (bits(one[name]) == bits(other[name])).all(), name
        else:
            assert (one[name].values == other[name].values).all(), name


@pytest.mark.parametrize("precision", REGIMES)
def test_formats_are_those_of_the_regime(precision):
    trainer, regime = tiny_trainer(precision=precision), REGIMES[precision]
    outcome = trainer.advance()
    state = trainer.state()
    assert str(state["W"].dtype) == f"torch.{regime.weights}"
    assert str(outcome.grad.dtype) == f"torch.{regime.parameters}"
    assert torch.equal(state["W"].float(), trainer.model.W.float())  # numbers of that format
    assert str(state["exp_avg"].dtype) == f"torch.{regime.moments}"
    compensation = {"compensation": regime.compensation} if regime.compensation else {}
    assert trainer.dtypes == compensation | {
        "parameters": regime.parameters,
        "gradients": regime.parameters,
        "exp_avg": regime.moments,
        "exp_avg_sq": regime.moments,
        "arithmetic": regime.arithmetic,
    }


def after_one_update(**settings):
    """Return W, its moments and its gradient after the first update of a run that all share."""
    trainer = tiny_trainer(bfloat16_start=True, lr=0.01, **settings)
    grad = trainer.advance().grad.clone()
    return {name: tensor.clone() for name, tensor in trainer.state().items()} | {"grad": grad}


def test_the_factorial_differs_in_nothing_but_what_is_rounded():
    """From one start, by one gradient: results are those of `mixed`, rounded where it says so."""
    mixed = after_one_update(precision="mixed")
    for precision in ("mixed-bf16", "mixed-bf16-weights", "bf16-moments"):
        regime, found = REGIMES[precision], after_one_update(precision=precision)
        assert torch.equal(found["grad"], mixed["grad"])
        for name, tensor in mixed.items():
            number_format = {"W": regime.weights, "grad": "float32"}.get(name, regime.moments)
            assert torch.equal(found[name], tensor.to(getattr(torch, number_format)))
    assert not torch.equal(mixed["W"], mixed["W"].bfloat16().float())


@pytest.mark.parametrize("precision", REGIMES)
def test_all_regimes_can_start_alike(precision):
    starts = [
        tiny_trainer(precision=name, bfloat16_start=True).state()["W"].float()
        for name in ("fp32", precision)
    ]
    assert torch.equal(*starts)
    assert torch.equal(starts[0], tiny_trainer(precision="pure-bf16").state()["W"].float())
    assert not torch.equal(starts[0], tiny_trainer(precision="fp32").state()["W"])


def test_weights_and_batches_have_seeds_of_their_own():
    both, batches, weights = (
        tiny_trainer(**seeds)
        for seeds in ({"seed": 3}, {"seed": 0, "batch_seed": 3}, {"seed": 3, "batch_seed": 0})
    )
    plain = tiny_trainer(seed=0)
    assert torch.equal(both.state()["W"], weights.state()["W"])
    assert torch.equal(batches.state()["W"], plain.state()["W"])
    assert not torch.equal(both.state()["W"], plain.state()["W"])
    losses = {
        name: t.advance().loss
        for name, t in {
            "both": both,
            "batches": batches,
            "weights": weights,
            "plain": plain,
        }.items()
    }
    assert len(set(losses.values())) == 4
    sampled = [
        {*both.stream[batch_starts(len(both.stream), 2, 8, batch_seed(trainer.spec), 1)]}
        for trainer in (both, batches, weights, plain)
    ]
    assert sampled[0] == sampled[1] != sampled[2] == sampled[3]


def test_the_noise_of_rounding_follows_the_seed_and_not_that_of_the_batches():
    def noise(**seeds):
        optimizer = tiny_trainer(precision="bf16-stochastic", **seeds).optimizer
        return [optimizer.noise_of(name) for name in optimizer.named]

    assert noise(seed=3) == noise(seed=3, batch_seed=5)
    assert all(one.seed == 3 for one in noise(seed=3))
    assert noise(seed=4) != noise(seed=3)


def test_a_constant_spread_starts_as_the_free_one_and_holds_the_entropy():
    uniform = np.log(VOCABULARY)
    outcomes = {}
    for spread in ("free", "constant"):
        trainer = tiny_trainer(precision="fp32", lr=1e-2, logit_spread=spread)
        outcomes[spread] = [trainer.advance() for _ in range(60)]
    free, constant = ([float(one.entropy) for one in told] for told in outcomes.values())
    assert outcomes["free"][0].loss == pytest.approx(outcomes["constant"][0].loss, abs=0.01)
    assert free[0] == pytest.approx(uniform, abs=0.01)
    assert free[-1] < uniform - 0.1
    assert constant == pytest.approx(np.full(60, uniform), abs=0.01)


def test_a_wrong_format_is_noticed():
    trainer = tiny_trainer(precision="pure-bf16")
    trainer.regime = REGIMES["fp32"]
    with pytest.raises(AssertionError, match=r"parameters in .*bfloat16.* not float32"):
        trainer.advance()


def test_loss_falls():
    trainer = tiny_trainer(precision="fp32", lr=1e-2)
    losses = [trainer.advance().loss for _ in range(60)]
    assert np.mean(losses[-10:]) < losses[0] - 0.1


def test_clipping_bounds_the_whole_gradient():
    free, clipped = tiny_trainer(precision="fp32"), tiny_trainer(precision="fp32", clip=0.01)
    one, other = free.advance(), clipped.advance()
    assert float(one.grad_norm) == float(other.grad_norm) > 0.01
    squares = sum((p.grad.double() ** 2).sum() for p in clipped.model.parameters())
    assert float(squares.sqrt()) == pytest.approx(0.01, rel=1e-4)
    scale = 0.01 / float(one.grad_norm)
    torch.testing.assert_close(other.grad, one.grad * scale, rtol=1e-4, atol=0)


def test_clipping_scales_large_gradients_only():
    norms = torch.tensor([0.5, 4.0])
    assert clip_scale(norms, 1.0).tolist() == pytest.approx([1, 0.25])
    assert clip_scale(norms, None).tolist() == [1, 1]


def test_dead_rows_of_the_input_embedding_get_no_gradient():
    trainer = tiny_trainer(precision="fp32", tied=False)
    trainer.advance()
    dead = torch.from_numpy(tiny_census().dead.values)
    assert (trainer.model.embedding.weight.grad[dead] == 0).all()
    assert (trainer.model.W.grad[dead] != 0).any(dim=1).all()


@pytest.mark.parametrize("precision", REGIMES)
def test_the_same_spec_gives_the_same_bits(precision, vocabulary, tmp_path):
    spec = tiny_spec(precision=precision)
    one = train(spec, vocabulary, tmp_path / "one", [0])
    other = train(spec, vocabulary, tmp_path / "other", [0])
    assert_same_bits(one, other)
    third = train(tiny_spec(precision=precision, seed=1), vocabulary, tmp_path / "third", [0])
    assert (bits(one.W) != bits(third.W)).any()


OTHERS = {  # beside AdamW in every regime
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "sgd without momentum": {"optimizer": "sgd", "beta1": 0.0, "precision": "bf16-kahan"},
    "sgd in fp32": {"optimizer": "sgd", "precision": "fp32"},
    "coupled-adam": {"optimizer": "coupled-adam", "tied": False},
    "coupled-adam with a compensation": {"optimizer": "coupled-adam", "precision": "bf16-kahan"},
}


@pytest.mark.parametrize("kind", [*REGIMES, *OTHERS])
def test_pieces_equal_the_whole_in_every_variable(kind, vocabulary, tmp_path):
    fields = OTHERS.get(kind, {"precision": kind})
    whole = tiny_spec(record={"segment": 12}, **fields)
    pieces = tiny_spec(record={"segment": 4}, **fields)
    one = train(whole, vocabulary, tmp_path / "whole", [0])
    other = train(pieces, vocabulary, tmp_path / "pieces", [0, 1, 2])
    assert list(other.state) == list(range(13))
    assert list(other["update"]) == list(range(1, 13))
    assert_same_bits(one, other)


def test_the_record_is_what_the_trainer_had(vocabulary, tmp_path):
    run = train(tiny_spec(), vocabulary, tmp_path, [0])
    trainer = tiny_trainer()
    for update in range(1, 5):
        before = trainer.state()["W"].float().clone()
        outcome = trainer.advance()
        assert (bits(run.W.sel(state=update - 1)) == bits(before)).all()
        assert (bits(run.grad.sel(update=update)) == bits(outcome.grad.float())).all()
        for name, tensor in trainer.state().items():
            assert (bits(run[name].sel(state=update)) == bits(tensor.float())).all()
        assert run.loss.sel(update=update) == np.float32(outcome.loss)
        assert run.entropy.sel(update=update) == outcome.entropy
        assert (bits(run.h_mean.sel(update=update)) == bits(outcome.h_mean)).all()
        assert (bits(run.probability.sel(update=update)) == bits(outcome.probability)).all()
    assert (run.exp_avg.sel(state=0) == 0).all()
    assert run.attrs["dtype_parameters"] == run.W.attrs["recorded_dtype"] == "bfloat16"


def test_a_diverging_run_ends_complete_and_readable(vocabulary, tmp_path):
    spec = tiny_spec(precision="fp32", lr=1e30)
    run = train(spec, vocabulary, tmp_path, [0, 1])
    last = int(run.attrs["diverged_at"]) - 1
    assert run.attrs["status"] == "diverged"
    assert 1 <= last < 4
    assert list(run["update"]) == list(range(1, last + 1))
    assert list(run.state) == list(range(last + 1))
    assert np.isfinite(run.loss).all()
    later = xr.open_dataset(tmp_path / "segment-001.nc", engine="h5netcdf")
    assert later.sizes["update"] == later.sizes["state"] == 0
    assert later.attrs["status"] == "diverged"


def test_a_text_shorter_than_the_context_is_refused(vocabulary, tmp_path):
    with pytest.raises(UserError, match="context: 400 needs more than the 400 tokens"):
        train(tiny_spec(context=400), vocabulary, tmp_path, [0])


class TestCheckpoint:
    def saved(self, tmp_path):
        trainer = tiny_trainer()
        for _ in range(3):
            trainer.advance()
        save_checkpoint(trainer, ORIGIN, tmp_path / "c.safetensors")
        seal(tmp_path / "c.safetensors")
        return trainer, tmp_path / "c.safetensors"

    def test_it_restores_everything(self, tmp_path):
        trainer, path = self.saved(tmp_path)
        restored = tiny_trainer()
        load_checkpoint(restored, ORIGIN, path)
        one, other = trainer.advance(), restored.advance()
        assert one.loss == other.loss
        for name, tensor in trainer.state().items():
            assert torch.equal(tensor, restored.state()[name])

    @pytest.mark.parametrize("part", ORIGIN)
    def test_it_refuses_another_origin(self, part, tmp_path):
        _, path = self.saved(tmp_path)
        with pytest.raises(UserError, match=f"trained with {part} '{ORIGIN[part]}', now it is 'x'"):
            load_checkpoint(tiny_trainer(), ORIGIN | {part: "x"}, path)

    @pytest.mark.parametrize("length", [0, 7, 100, -1])
    def test_a_truncated_file_is_named(self, length, tmp_path):
        _, path = self.saved(tmp_path)
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(UserError, match=r"c\.safetensors: truncated"):
            load_checkpoint(tiny_trainer(), ORIGIN, path)
        seal(path)
        with pytest.raises(UserError, match=r"c\.safetensors: not a readable checkpoint"):
            load_checkpoint(tiny_trainer(), ORIGIN, path)
