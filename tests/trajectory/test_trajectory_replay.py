"""Replay on reading: what is not recorded is read as if it were, and nothing false is read."""

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny import VOCABULARY, bits, tiny_census, tiny_spec, tiny_trainer

from deadtokens.audit.audit import audit_run
from deadtokens.errors import UserError
from deadtokens.freezing.freezing import measure_freezing
from deadtokens.run import layout
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import read_spec
from deadtokens.run.tensors import state_formats
from deadtokens.seal import seal
from deadtokens.training.segment import record_segment
from deadtokens.trajectory import blocks, parts, reader, replay, tiles, updates
from deadtokens.trajectory.proof import Proof, checksums
from deadtokens.trajectory.segments import list_segments
from deadtokens.verify import verdict

ALL = ("W", "grad", "exp_avg", "exp_avg_sq")
STATES = ("W", "exp_avg", "exp_avg_sq")
EVERYTHING = (*ALL, "compensation")
SEGMENT, CHUNK = 12, 4  # updates
ROWS = 5  # of a group, so that a vocabulary of 23 has five of them, the last one short
SETTINGS = {
    "weight decay and warm-up": {"weight_decay": 2.0, "warmup": 5},
    "untied and clipped": {"tied": False, "clip": 0.05},
}


@pytest.fixture(scope="module", autouse=True)
def _small_groups():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "STEPS_PER_CHUNK", CHUNK)
        patch.setattr(replay, "STEPS", CHUNK)
        patch.setattr(layout, "CHUNK_BYTES", ROWS * 4 * 8 * CHUNK)
        patch.setattr(replay, "TOGETHER", 2 * ROWS * 8)
        yield


def record(folder, tensors, segments=2, **fields):
    """Record a tiny run, of two segments; return its folder."""
    spec = tiny_spec(record={"segment": SEGMENT, "tensors": list(tensors)}, **fields)
    trainer = tiny_trainer(**spec.model_dump())
    about = {"run": "tiny", "spec": spec.json_text(), "device": "abacus", "packages": "torch 0.1"}
    for segment in range(segments):
        path = folder / f"segment-{segment:03d}.nc"
        record_segment("tiny", trainer, segment, path, tiny_census(), dict(about))
        seal(path)
    return folder


OTHERS = {  # optimizers, beside AdamW in every regime
    "sgd in fp32": {"optimizer": "sgd", "precision": "fp32", "lr": 0.1},
    "sgd without momentum": {"optimizer": "sgd", "beta1": 0.0, "lr": 0.1},
    "coupled-adam": {"optimizer": "coupled-adam", "precision": "mixed-bf16"},
    "coupled-adam with a compensation": {"optimizer": "coupled-adam", "precision": "bf16-kahan"},
}


@pytest.fixture(scope="module", params=[*REGIMES, *OTHERS])
def pair(request, tmp_path_factory):
    """Return a run recorded with all tensors, and with the gradients alone."""
    name = list(SETTINGS)[len(request.param) % 2]
    fields = OTHERS.get(request.param, {"precision": request.param}) | SETTINGS[name]
    folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
    return record(folders[0], EVERYTHING, **fields), record(folders[1], ["grad"], **fields)


def states_of(run):
    """Return the state tensors of a run."""
    return list(state_formats(read_spec(reader.open_run(run).attrs["spec"])))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a float32 run by what was recorded of it."""
    choices = (ALL, ("grad",), ("W", "grad"), ("W",))
    fields = {"precision": "bf16-stochastic"}
    return {
        tensors: record(tmp_path_factory.mktemp("run"), tensors, **fields) for tensors in choices
    }


def same(one, other):
    return one.shape == other.shape and (bits(one) == bits(other)).all()


def test_the_run_is_opened_as_if_all_were_recorded(pair):
    whole, alone = (reader.open_run(folder) for folder in pair)
    assert set(whole.variables) == set(alone.variables)
    for name in ("grad", *states_of(pair[0])):
        assert alone[name].chunks is not None  # lazy
        assert whole[name].dims == alone[name].dims
        assert whole[name].attrs == alone[name].attrs
        assert same(whole[name].values, alone[name].values), name
    assert same(whole.W.sel(state=13).values, alone.W.sel(state=13).values)


def test_opening_computes_nothing(runs, monkeypatch):
    monkeypatch.setattr(replay, "update_W", None)
    run = reader.open_run(runs["grad",])
    assert run.exp_avg.shape == (25, VOCABULARY, 8)
    with pytest.raises(TypeError):
        run.exp_avg.values  # noqa: B018


@pytest.mark.parametrize("wanted", [None, np.array([2, 11, 20])])
def test_blocks_are_those_of_the_record(wanted, pair):
    names = {states_of(pair[0])[-1]: None, "W": None}
    whole, alone = (list(blocks.read_blocks(folder, list(names), wanted)) for folder in pair)
    assert whole
    for one, other in zip(whole, alone, strict=True):
        assert (one.steps == other.steps).all()
        for name in names:
            assert same(one.values[name], other.values[name])


def test_tiles_are_those_of_the_record(pair, monkeypatch):
    monkeypatch.setattr(tiles, "TILE_BYTES", 12 * 8 * 13 * 4)
    whole, alone = (list(tiles.read_tiles(folder)) for folder in pair)
    assert len(whole) >= 4
    for one, other in zip(whole, alone, strict=True):
        assert (one.tokens, one.updates) == (other.tokens, other.updates)
        for name in states_of(pair[0]):
            assert one.states[name].dtype == other.states[name].dtype
            assert torch.equal(one.states[name], other.states[name])
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("tokens", [[0], [3, 4, 9, 10, 22], [12, 21], range(VOCABULARY)])
def test_updates_are_those_of_the_record(pair, tokens):
    whole, alone = (list(updates.read_updates(folder, np.array(tokens))) for folder in pair)
    assert len(whole) == 2 * SEGMENT
    assert list(whole[0].before) == states_of(pair[0])
    for one, other in zip(whole, alone, strict=True):
        assert one.number == other.number
        assert torch.equal(one.grad, other.grad)
        for name in states_of(pair[0]):
            assert torch.equal(one.before[name], other.before[name])
            assert torch.equal(one.after[name], other.after[name])


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_part_of_a_tensor_is_read(data, runs):
    name = data.draw(st.sampled_from(STATES))
    recorded = data.draw(st.sampled_from([("grad",), ("W", "grad")]))
    tokens, steps = (
        slice(*sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2))))
        for n in (VOCABULARY, 25)
    )
    whole, part = (parts.load_tensor(runs[one], name, tokens, steps) for one in (ALL, recorded))
    assert same(whole, part)


def test_steps_may_be_asked_for_in_any_order(runs):
    with h5py.File(runs["grad",] / "segment-001.nc") as file:
        part = replay.Replay(file).parts[1]
        whole = parts.load_tensor(runs[ALL], "W", slice(10, 20), slice(SEGMENT, None))
        for steps in (
            range(3, 9),
            range(9, 13),
            range(2, 4),
            range(13),
            range(12, 13),
        ):
            out = np.empty((10, 8, len(steps)), np.float32)
            part.write({"W": out}, range(10, 20), steps)
            assert same(out, whole[:, :, steps.start : steps.stop])


def test_what_is_kept_is_as_small_as_it_can_be(runs):
    def variables(tensors):
        return set(xr.open_dataset(runs[tensors] / "segment-000.nc").variables)

    assert not variables(ALL) & set(layout.FOR_REPLAY)
    assert not variables(("W",)) & set(layout.FOR_REPLAY)
    for tensors, states in ((("grad",), STATES), (("W", "grad"), STATES[1:])):
        kept = {f"{kind}_{name}" for kind in ("first", "checksum") for name in states}
        assert variables(tensors) & set(layout.FOR_REPLAY) == kept
    assert "row_group" in variables(("W", "grad"))
    assert "grad" not in reader.open_run(runs["W",])
    assert "exp_avg" not in reader.open_run(runs["W",])


def test_analyses_work_unchanged(pair):
    whole, alone = (measure_freezing(folder).drop_attrs() for folder in pair)
    sums = ["centroid_speed", "centroid_acceleration"]  # of rows taken together in other groups
    assert whole.drop_vars(sums).identical(alone.drop_vars(sums))
    xr.testing.assert_allclose(whole[sums], alone[sums], rtol=1e-6)


def test_verify_looks_at_such_a_segment(runs):
    path = runs["grad",] / "segment-001.nc"
    assert verdict(path) == f"ok   {path}: updates 13 to 24, complete"


class TestAudit:
    def test_checksums_are_reported_as_such(self, pair):
        result = audit_run(pair[1])
        assert result["identical"]
        assert result["controls_detected"]
        shared = result["tensors"].pop("grad_sq_mean", {"differing": 0})
        assert shared["differing"] == 0
        assert result["tensors"] == {}
        for tally in result["checksums"].values():
            values = 24 * VOCABULARY * 8
            expected = {"compared": 24 * 5, "values": values, "differing": 0, "first": None}
            assert tally == expected
        assert list(result["checksums"]) == states_of(pair[0])
        one_bit = result["controls"]["one flipped bit"]
        planted, first = one_bit["planted"], one_bit["first"]
        assert one_bit["differing"] == 1
        assert first["update"] == planted["update"]
        assert first["first_token"] <= planted["token"] <= first["last_token"]

    def test_recorded_values_and_checksums_stand_apart(self, runs):
        result = audit_run(runs["W", "grad"])
        assert list(result["tensors"]) == ["W"]
        assert list(result["checksums"]) == ["exp_avg", "exp_avg_sq"]
        assert result["identical"]

    def test_a_difference_is_a_result(self, runs, tmp_path):
        run = copied(runs["grad",], tmp_path)
        with h5py.File(run / "segment-001.nc", "r+") as file:
            file["checksum_exp_avg"][2, 7] ^= 1
        seal(run / "segment-001.nc")
        result = audit_run(run)
        assert not result["identical"]
        tally = result["checksums"]["exp_avg"]
        assert tally["differing"] == 1
        assert tally["first"] == {"update": 19, "first_token": 10, "last_token": 14}


def copied(run, folder):
    for path in list_segments(run):
        (folder / path.name).write_bytes(path.read_bytes())
        seal(folder / path.name)
    return folder


class TestRefusal:
    def sentence(self, run, name="exp_avg_sq"):
        with pytest.raises(UserError) as refusal:
            list(blocks.read_blocks(run, [name]))
        return str(refusal.value)

    @pytest.mark.parametrize("name", STATES)
    def test_a_false_first_state_is_refused(self, name, runs, tmp_path):
        run = copied(runs["grad",], tmp_path)
        with h5py.File(run / "segment-001.nc", "r+") as file:
            values = file[f"first_{name}"][...]
            values[22, 7] = -values[22, 7]
            file[f"first_{name}"][...] = values
        seal(run / "segment-001.nc")
        assert f"bits of {name}, rows 20 to 22, that training had after update 13" in (
            self.sentence(run, name)
        )

    def test_another_rule_is_refused_with_what_differs(self, runs, monkeypatch):
        def wrong(spec, state, grad, t, first, *rule):
            own(spec, state, grad, t, first, *rule)
            if t == 16 and first == 10:
                state["exp_avg_sq"][3, 2] *= 1 + 2**-20

        own = replay.update_W
        monkeypatch.setattr(replay, "update_W", wrong)
        run = runs["grad",]
        sentence = self.sentence(run)
        assert sentence.startswith(
            f"{run / 'segment-001.nc'}: the replay of run tiny does not give the bits of "
            "exp_avg_sq, rows 10 to 14, that training had after update 16: replayed on cpu "
        )
        assert f"with torch {torch.__version__}, trained on abacus with torch 0.1" in sentence
        for read in (
            lambda: reader.open_run(run).exp_avg_sq.sel(state=16).values,
            lambda: parts.load_tensor(run, "exp_avg_sq", slice(12, 13)),
            lambda: list(tiles.read_tiles(run)),
        ):
            with pytest.raises(UserError, match="rows 10 to 14, that training had after update 1"):
                read()

    def test_what_is_not_asked_for_is_not_refused(self, runs, tmp_path):
        run = copied(runs["grad",], tmp_path)
        with h5py.File(run / "segment-001.nc", "r+") as file:
            file["checksum_exp_avg"][0, 9] ^= 1
        seal(run / "segment-001.nc")
        assert same(parts.load_tensor(run, "W"), parts.load_tensor(runs[ALL], "W"))
        assert "rows 0 to 4, that training had after update 21" in self.sentence(run, "exp_avg")


def test_a_diverged_run_is_read_too(tmp_path):
    fields = {"precision": "fp32", "lr": 1e30}
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    whole, alone = (
        record(tmp_path / "one", ALL, **fields),
        record(tmp_path / "other", ["grad"], **fields),
    )
    one, other = reader.open_run(whole), reader.open_run(alone)
    assert one.attrs["status"] == other.attrs["status"] == "diverged"
    assert 1 <= one.sizes["update"] < SEGMENT
    for name in ALL:
        assert same(one[name].values, other[name].values)
    assert same(parts.load_tensor(whole, "W"), parts.load_tensor(alone, "W"))
    assert len(list(blocks.read_blocks(alone, ["W"]))) == len(
        list(blocks.read_blocks(whole, ["W"]))
    )
    assert audit_run(alone)["identical"]


class TestChecksums:
    @given(
        shape=st.tuples(st.integers(1, 30), st.integers(1, 9)),
        rows=st.integers(1, 31),
        dtype=st.sampled_from([torch.bfloat16, torch.float32]),
        data=st.data(),
    )
    @settings(max_examples=200, deadline=None)
    def test_any_flipped_bit_is_seen_in_its_group(self, shape, rows, dtype, data):
        kind, width = {torch.bfloat16: (torch.int16, 16), torch.float32: (torch.int32, 32)}[dtype]
        generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
        info = torch.iinfo(kind)
        values = torch.randint(info.min, info.max + 1, shape, generator=generator).to(kind)
        row, column = (data.draw(st.integers(0, n - 1)) for n in shape)
        flipped = values.clone()
        flipped[row, column] ^= (
            torch.tensor(1).bitwise_left_shift(data.draw(st.integers(0, width - 1))).to(kind)
        )
        one, other = checksums(values.view(dtype), rows), checksums(flipped.view(dtype), rows)
        assert one.shape == (-(-shape[0] // rows),)
        assert (one != other).nonzero().flatten().tolist() == [row // rows]

    def test_it_is_the_sum_of_halves_times_odd_numbers(self):
        """By Python's integers: the formula, independently."""
        values = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
        halves = values.numpy().view(np.int16).astype(object)
        columns = [mixed(number) | 1 for number in range(6)]
        within = [mixed(2**30 + number) | 1 for number in range(4)]
        expected = [
            sum(within[row - first] * sum(halves[row] * columns) for row in range(first, last))
            % 2**32
            for first, last in ((0, 4), (4, 7))
        ]
        assert checksums(values, 4).numpy().view(np.uint32).tolist() == expected

    @example(seed=0)
    @given(seed=st.integers(0, 2**31))
    @settings(max_examples=30, deadline=None)
    def test_values_in_another_order_and_signs_of_zeros_are_seen(self, seed):
        values = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed))
        for other in (values.flip(0), values.flip(1), values.roll(1, 0)):
            assert not torch.equal(checksums(values, 8), checksums(other.contiguous(), 8))
        zeros = torch.zeros(8, 6)
        signs = zeros.clone()
        signs[seed % 8, :2] = -0.0
        assert not torch.equal(checksums(zeros, 8), checksums(signs, 8))

    def test_a_change_of_format_is_refused(self):
        proof = Proof(2, 4)
        proof.put(0, torch.zeros(5, 2))
        with pytest.raises(TypeError, match=r"torch.bfloat16 after torch.float32"):
            proof.put(1, torch.zeros(5, 2).bfloat16())


def mixed(word):
    """The mixing function "lowbias32", written out."""
    for shift, multiplier in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        word = ((word ^ word >> shift) * multiplier) % 2**32
    return word
