"""The recorded pathways of a tied gradient: sums in every bit, numbers by plain numpy."""

import numpy as np
import pytest
import torch
from planted import WITH_PATHWAYS, planted, write_run
from tiny import LIVE, VOCABULARY, bits, tiny_spec, tiny_trainer, train_run

from deadtokens.gradients.gradients import measure_anatomy
from deadtokens.gradients.pathways import PER_UPDATE, measure_pathways
from deadtokens.run.clipping import clip_scale
from deadtokens.run.precision import REGIMES
from deadtokens.trajectory.populations import members_of
from deadtokens.trajectory.reader import open_run

DEAD = np.arange(VOCABULARY) >= LIVE
PATHWAYS = {"segment": 4, "pathways": True}


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("precision", REGIMES)
def test_recording_both_ways_changes_no_bit_and_they_sum_to_the_gradient(precision, clip):
    plain = tiny_trainer(precision=precision, clip=clip)
    apart = tiny_trainer(precision=precision, clip=clip, record=PATHWAYS)
    for _ in range(6):
        one, other = plain.advance(), apart.advance()
        assert one.grad_input is None
        assert torch.equal(one.grad, other.grad)
        whole = other.grad_input + other.grad_output
        if clip is not None:
            assert not torch.equal(whole, other.grad)
            whole *= clip_scale(other.grad_norm, clip).to(whole.dtype)
        assert torch.equal(whole, other.grad)
        assert not other.grad_input[LIVE:].count_nonzero()
        assert other.grad_input[:LIVE].count_nonzero()
    state = plain.state()
    assert all(torch.equal(state[name], tensor) for name, tensor in apart.state().items())


def trained(folder, segments=3, **fields):
    """Train segments of 4 updates that record both ways; return what the analysis takes."""
    return train_run(folder, segments, **{"lr": 1e-2, "record": PATHWAYS} | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"precision": "fp32"},
        {"precision": "pure-bf16", "clip": 0.05},
        {"precision": "mixed", "record": {**PATHWAYS, "tensors": ["grad"]}},
    ],
    ids=["fp32", "clipped", "replayed"],
)
def test_a_recorded_run_is_described_update_by_update(fields, tmp_path):
    files = trained(tmp_path, **fields)
    found, run = measure_anatomy(*files), open_run(files[0])
    assert (found.pathway_differing == 0).all()
    assert found.sizes["update"] == 12
    one, other = (run[name].values.astype(float) for name in ("grad_input", "grad_output"))
    whole = one + other
    for population, rows in (("dead", DEAD), ("live", ~DEAD)):
        here = found.sel(population=population)
        for side, values in (("input", one), ("output", other)):
            along = (values[:, rows] * whole[:, rows]).sum(axis=(1, 2))
            share = along / (whole[:, rows] ** 2).sum(axis=(1, 2))
            norm = np.sqrt((values[:, rows] ** 2).sum(axis=2).mean(axis=1))
            assert here.pathway_share.sel(side=side).values == pytest.approx(share, rel=1e-9)
            assert here.pathway_norm.sel(side=side).values == pytest.approx(norm, rel=1e-9)
    live = [values[:, ~DEAD].reshape(12, -1) for values in (one, other)]
    cosine = (live[0] * live[1]).sum(1) / np.prod([np.linalg.norm(v, axis=1) for v in live], axis=0)
    assert found.pathway_cosine.sel(population="live").values == pytest.approx(cosine, rel=1e-9)
    assert np.isnan(found.pathway_cosine.sel(population="dead")).all()
    total = np.linalg.norm(other.sum(1), axis=1) / np.linalg.norm(other, axis=2).sum(1)
    assert found.pathway_sum.sel(side="output").values == pytest.approx(total, rel=1e-9)
    assert (found.pathway_sum.sel(side="input") > 0.05).all()
    shares = found.pathway_share.sel(population="dead")
    assert np.isnan(found.pathway_norm.sel(population="never sampled")).all()
    assert (shares.sel(side="input") == 0).all() and (shares.sel(side="output") == 1).all()


def test_the_sides_and_the_gradient_drawn_with_them_are_of_one_size(tmp_path):
    """Clipping to a tenth leaves a dead row's output side what its whole gradient was before."""
    found = measure_anatomy(*trained(tmp_path, precision="fp32", clip=0.05))
    assert (found.clip_factor < 0.5).all()
    dead = found.sel(population="dead")
    output = dead.pathway_norm.sel(side="output").values
    assert dead.gradient_norm.values == pytest.approx(output, rel=1e-5)
    probes = dead.side_norm.sel(side="output")[:-1]
    at = found["update"].isin(probes.probe.values).values
    assert dead.gradient_norm.values[at] == pytest.approx(probes.values, rel=1e-5)
    for name in ("pathway_norm", "side_norm", "gradient_norm"):
        assert "before clipping" in found[name].attrs["long_name"]


def test_probes_and_record_agree(tmp_path):
    found = measure_anatomy(*trained(tmp_path, precision="pure-bf16"))
    probed = found.side_norm.sel(probe=[1, 2, 3, 5, 6, 9, 11])
    recorded = found.pathway_norm.sel(update=probed.probe.values)
    assert probed.values == pytest.approx(recorded.values, rel=1e-12, nan_ok=True)


def test_a_flipped_bit_is_counted(tmp_path):
    random = planted(9, VOCABULARY, 8, torch.float32, names=WITH_PATHWAYS)
    tensors = {name: torch.nan_to_num(values, 0.5, 0.5, 0.5) for name, values in random.items()}
    for name in ("grad_input", "grad_output"):
        tensors[name] = tensors[name].clamp(-1, 1)
    tensors["grad"] = tensors["grad_input"] + tensors["grad_output"]
    tensors["grad"].view(torch.int32)[4, 7, 2] ^= 1
    write_run(tmp_path, tensors, [0, 3, 9], WITH_PATHWAYS)
    spec = tiny_spec(record=PATHWAYS)
    run = open_run(tmp_path)
    found = measure_pathways(tmp_path, run, spec, members_of(run))
    assert found.pathway_differing.values.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_without_pathways_there_is_nothing_to_tell(tmp_path):
    found = measure_anatomy(*trained(tmp_path, segments=1, record={"segment": 4}))
    assert not PER_UPDATE.keys() & set(found.variables)


def test_a_run_that_diverges_has_pathways_up_to_its_end(tmp_path):
    found = measure_anatomy(*trained(tmp_path, precision="fp32", lr=1e30))
    assert found.attrs["status"] == "diverged"
    assert found.sizes["update"] == int(found.attrs["diverged_at"]) - 1
    assert (found.pathway_differing == 0).all()


def test_the_pathways_are_in_the_file_as_training_had_them(tmp_path):
    paths, *_ = trained(tmp_path, precision="pure-bf16")
    trainer, run = tiny_trainer(lr=1e-2, record=PATHWAYS), open_run(paths)
    for update in range(12):
        outcome = trainer.advance()
        for name in ("grad_input", "grad_output"):
            assert (bits(run[name][update]) == bits(getattr(outcome, name).float())).all()
