"""The replay audit: no bit differs, and it would be seen if one did."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from house import REPOSITORY
from tiny import LIVE, VOCABULARY, tiny_census, tiny_spec, tiny_trainer, write_vocabulary

from deadtokens.audit import audit
from deadtokens.audit.audit import audit_run
from deadtokens.errors import UserError
from deadtokens.run.precision import REGIMES
from deadtokens.run.rounding import Rounding
from deadtokens.run.tensors import state_formats
from deadtokens.seal import seal
from deadtokens.training.segment import record_segment
from deadtokens.trajectory import tiles
from deadtokens.trajectory.chunks import decode_chunk, encode_chunk
from deadtokens.trajectory.segments import list_segments


def recorded_run(folder, segments=2, **fields):
    """Record a tiny run of segments of 70 updates, more than a chunk; return its folder."""
    spec = tiny_spec(record={"segment": 70} | fields.pop("record", {}), **fields)
    trainer = tiny_trainer(**spec.model_dump())
    about = {"run": "tiny", "spec": spec.json_text(), "device": "cpu"}
    for segment in range(segments):
        path = folder / f"segment-{segment:03d}.nc"
        record_segment("tiny", trainer, segment, path, tiny_census(), dict(about))
        seal(path)
    return folder


def flip_lowest_bit(path, name, token, component, index):
    """Turn the lowest recorded bit of one bfloat16 value in a segment over."""
    with h5py.File(path, "r+") as file:
        dataset = file[name]
        length = dataset.chunks[2]
        offset = (0, 0, index - index % length)
        bits = decode_chunk(dataset.id.read_direct_chunk(offset)[1], "bfloat16", dataset.chunks)
        bits[token, component, index % length] ^= 1
        dataset.id.write_direct_chunk(offset, encode_chunk(bits))
    seal(path)


OPTIMIZERS = {
    "adamw": {"weight_decay": 0.0},
    "adamw that decays": {"weight_decay": 2.0},
    "sgd": {"optimizer": "sgd", "lr": 0.5, "weight_decay": 0.01},
    "sgd without momentum": {"optimizer": "sgd", "beta1": 0.0, "lr": 2.0},
    "coupled-adam": {"optimizer": "coupled-adam", "weight_decay": 2.0, "tied": False},
}
EVERYTHING = {"tensors": ["W", "grad", "exp_avg", "exp_avg_sq", "compensation"]}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", REGIMES)
def test_no_bit_differs_in_any_regime(precision, optimizer, tmp_path):
    fields = {"precision": precision, "warmup": 20} | OPTIMIZERS[optimizer]
    segments = 2 if "adamw" in optimizer else 1
    result = audit_run(recorded_run(tmp_path, segments, record=EVERYTHING, **fields))
    assert result["identical"]
    assert result["controls_detected"]
    assert result["updates"] == 70 * segments
    states = state_formats(tiny_spec(**fields))
    values = dict.fromkeys(states, VOCABULARY * 8)
    values |= {"grad_sq_mean": 8} if optimizer == "coupled-adam" else {}
    assert result["checksums"] == {}
    assert result["tensors"] == {
        name: {"compared": 70 * segments * count, "differing": 0, "largest_ulps": 0, "first": None}
        for name, count in values.items()
    }
    assert ("compensation" in values) == (precision == "bf16-kahan")


def test_what_is_not_recorded_by_default_is_proven(tmp_path):
    result = audit_run(recorded_run(tmp_path, precision="bf16-kahan"))
    assert list(result["tensors"]) == ["W", "exp_avg", "exp_avg_sq"]
    assert list(result["checksums"]) == ["compensation"]
    assert result["identical"]


def test_a_wrong_mean_of_squares_is_found(tmp_path):
    """It is taken again from the gradients, and moves every second moment besides."""
    run = recorded_run(tmp_path, optimizer="coupled-adam", precision="fp32")
    path = list_segments(run)[1]
    with h5py.File(path, "r+") as file:
        means = file["grad_sq_mean"][...]
        means[5, 20] *= 2
        file["grad_sq_mean"][...] = means
    seal(path)
    result = audit_run(run)
    assert not result["identical"]
    tally = result["tensors"]["grad_sq_mean"]
    assert tally["differing"] == 1
    assert (tally["first"]["update"], tally["first"]["component"]) == (91, 5)
    assert result["tensors"]["exp_avg_sq"]["first"]["update"] == 91
    assert result["tensors"]["exp_avg"]["differing"] == 0


def test_untied_and_clipped_runs_replay_too(tmp_path):
    assert audit_run(recorded_run(tmp_path, tied=False, clip=0.05))["identical"]


def test_tiles_of_few_tokens_give_the_same(tmp_path, monkeypatch):
    run = recorded_run(tmp_path, precision="bf16-stochastic")
    monkeypatch.setattr(tiles, "token_tiles", lambda file: [range(5), range(5, VOCABULARY)])
    assert audit_run(run)["identical"]


@pytest.mark.parametrize("name", ["W", "exp_avg", "exp_avg_sq"])
def test_one_flipped_bit_is_found_where_it_is(name, tmp_path):
    run = recorded_run(tmp_path)
    flip_lowest_bit(list_segments(run)[1], name, token=LIVE, component=5, index=66)
    result = audit_run(run)
    assert not result["identical"]
    tally = result["tensors"].pop(name)
    assert tally["differing"] == 1
    place = {key: tally["first"][key] for key in ("update", "token", "component")}
    assert place == {"update": 136, "token": LIVE, "component": 5}
    assert all(other["differing"] == 0 for other in result["tensors"].values())


def test_a_flipped_gradient_is_found_at_its_update(tmp_path):
    run = recorded_run(tmp_path)
    flip_lowest_bit(list_segments(run)[0], "grad", token=2, component=3, index=40)
    tally = audit_run(run)["tensors"]["exp_avg"]
    first = tally["first"]
    assert (first["update"], first["token"], first["component"]) == (41, 2, 3)


def test_every_control_is_detected(tmp_path):
    result = audit_run(recorded_run(tmp_path))
    assert result["controls_detected"]
    assert len(result["controls"]) == 4
    for name, control in result["controls"].items():
        assert 0 < control["differing"] <= control["compared"] == 64 * VOCABULARY * 8, name
    one_bit = result["controls"]["one flipped bit"]
    assert one_bit["differing"] == 1
    assert {key: one_bit["first"][key] for key in one_bit["planted"]} == one_bit["planted"]


def test_another_seed_of_the_noise_is_noticed(tmp_path):
    run = recorded_run(tmp_path, precision="bf16-stochastic")
    for path in list_segments(run):
        with h5py.File(path, "r+") as file:
            file.attrs["spec"] = file.attrs["spec"].replace('"seed":0', '"seed":1')
        seal(path)
    result = audit_run(run)
    assert result["tensors"]["W"]["differing"] > 1000
    assert result["tensors"]["exp_avg"]["differing"] == 0  # the noise is W's alone


def test_a_run_without_gradients_is_refused(tmp_path):
    run = recorded_run(tmp_path, record={"tensors": ["W"]})
    with pytest.raises(UserError, match="without recorded gradients nothing can be replayed"):
        audit_run(run)


def test_decay_below_the_half_ulp_changes_no_bfloat16_weight():
    """lr * weight_decay = 1e-4 < 2 ** -9: torch rounds the decay by itself, to nothing."""
    with_decay, without = (tiny_trainer(lr=1e-3, weight_decay=wd) for wd in (0.1, 0.0))
    single = tiny_trainer(lr=1e-3, weight_decay=0.1, precision="bf16-weights")
    for _ in range(40):
        for trainer in (with_decay, without, single):
            trainer.advance()
    one, other = (trainer.state()["W"] for trainer in (with_decay, without))
    assert torch.equal(one, other)
    strong = tiny_trainer(lr=1e-3, weight_decay=5.0)
    for _ in range(40):
        strong.advance()
    assert not torch.equal(strong.state()["W"], other)


@pytest.mark.parametrize(("beta2", "decreases"), [(0.999, False), (0.99, True)])
def test_the_second_moment_ratchets_in_bfloat16(beta2, decreases):
    trainer, before, fell = tiny_trainer(beta2=beta2, lr=1e-2), None, False
    for _ in range(120):
        trainer.advance()
        now = trainer.state()["exp_avg_sq"].float().numpy().copy()
        fell |= before is not None and bool((now < before).any())
        before = now
    assert fell == decreases
    assert np.isfinite(before).all()


def test_tiles_of_one_segment_may_differ_from_those_of_the_next(tmp_path, monkeypatch):
    run, widths = recorded_run(tmp_path), iter([5, 3])

    def narrowing(file):
        width, tokens = next(widths), file["W"].shape[0]
        return [range(start, min(start + width, tokens)) for start in range(0, tokens, width)]

    monkeypatch.setattr(tiles, "token_tiles", narrowing)
    assert audit_run(run)["identical"]
    assert next(widths, None) is None


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="this processor has one way only"
)
def test_each_segment_is_replayed_as_its_own_processor_rounds(tmp_path, monkeypatch):
    """The second segment is trained without fused instructions, elsewhere as it were."""
    write_vocabulary(tmp_path)
    checkpoints = [tmp_path / f"checkpoint-{number}.safetensors" for number in range(2)]
    paths = [tmp_path / f"segment-{number:03d}.nc" for number in range(2)]
    words = ["--name=tiny", f"--spec={tiny_spec(width=16, precision='fp32').json_text()}"]
    words += [f"--{name}={tmp_path / name}.nc" for name in ("stream", "census")]
    for number, capability in enumerate(({}, {"ATEN_CPU_CAPABILITY": "default"})):
        own = [f"--segment={number}", f"--trajectory={paths[number]}", "--elsewhere"]
        own += [f"--checkpoint={checkpoints[number]}"]
        own += [f"--previous={checkpoints[0]}"] if number else []
        command = [sys.executable, "-P", str(REPOSITORY / "workflow"), "train", *words, *own]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | capability)
    result = audit_run(paths)
    assert result["identical"]
    first, second = (Rounding(**one) for one in result["update_rounding"])
    assert (first.lerp, second.lerp) == ("fma(w, g - m, m)", "m + w (g - m)")

    own_move = audit.own_move  # negative control: one way for both segments
    monkeypatch.setattr(audit, "own_move", lambda rule, _: own_move(rule, first))
    alike = audit_run(paths)
    assert alike["tensors"]["exp_avg"]["differing"] > 0
    assert alike["tensors"]["exp_avg"]["first"]["update"] == 5
