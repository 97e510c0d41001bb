"""The benchmarks run, compare what they say they compare, and judge rightly."""

import copy
import json
import math
import os
import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from house import REPOSITORY, TEXT, TINY
from tiny import bits, tiny_census, tiny_trainer, write_vocabulary

from deadtokens.errors import UserError
from deadtokens.run import layout
from deadtokens.run.spec import Record, RunSpec
from deadtokens.study.study import Study
from deadtokens.text.read import read_census, read_stream
from deadtokens.training import trainer as trainer_module

sys.path.insert(0, str(REPOSITORY / "benchmarks"))


import arms
import chunks
import examining
import gpu
import overhead
import reading
import recording
import spread
import study
import wide

LINE = re.compile(r"^ +(?P<what>\S.*?)  +(?P<value>\S+) (x|ms|s|MB|/s)\b")
ROWS = {
    "two runs at once, 1 thread each: not recorded": "/s",
    "recorded / not recorded": "x",
    "trainer, not recorded / plain loop": "x",
    "two runs at once, 1 thread each: added, one step at a time": "ms",
    "one step at a time / ours": "x",
    "file, ours / one step at a time": "x",
    "default, 6 updates: a raw block": "MB",
    "Crucible, 6 updates: a raw block": "MB",
    "recorder in raw blocks": "x",
    "our tensors / raw bits": "x",
    "our whole files / one step at a time": "x",
    "everything: plain xarray": "ms",
    "one step at a time / our reader": "x",
    "plain xarray / one step at a time": "x",
}


@pytest.fixture(scope="module")
def tiny_study(tmp_path_factory):
    """Return the arguments for a study of a few thousand weights, its vocabulary made."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tale.txt").write_text(TEXT)
    (folder / "words.txt").write_text("word")
    config = copy.deepcopy(TINY)
    for name in ("tale", "words"):
        config["corpora"][name]["path"] = str(folder / f"{name}.txt")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    (vocabulary,) = Study(config).vocabularies
    vocabulary_folder = folder / "results" / "vocabularies" / vocabulary
    vocabulary_folder.mkdir(parents=True)
    write_vocabulary(vocabulary_folder, 290)
    return ["--config", str(folder / "tiny.yaml"), "--results", str(folder / "results")]


@pytest.fixture(scope="module")
def printed(tiny_study):
    arguments = ["--target", "all", "--updates", "6", "--repeats", "1", *tiny_study]
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overhead, "SETTINGS", {"two runs at once, 1 thread each": (2, 1)})
        patch.setattr(recording, "print", lambda line, flush: lines.append(line), raising=False)
        recording.main(arguments)
    return lines


@pytest.mark.parametrize("what", ROWS)
def test_every_target_has_its_rows(what, printed):
    found = [match for match in map(LINE.match, printed) if match and match["what"] == what]
    assert found
    for match in found:
        assert match[3] == ROWS[what]
        assert math.isfinite(float(match["value"].replace(",", "")))


def test_the_machine_is_told(printed):
    assert f"{os.cpu_count()} cores; device cpu" in printed[0]
    assert "6 updates, 1 rounds; load" in printed[1]


def test_without_a_vocabulary_it_says_what_to_do(tiny_study, tmp_path):
    arguments = [*tiny_study[:2], "--results", str(tmp_path), "--target", "size"]
    with pytest.raises(UserError, match="run `make figures` first"):
        recording.main(arguments)


def test_the_analyses_of_a_short_run_have_their_rows(monkeypatch):
    printed = []
    monkeypatch.setattr(wide, "print", lambda line, flush: printed.append(line), raising=False)
    monkeypatch.setattr(wide, "TEXT_LENGTH", 3000)
    sizes = ["--tokens", "60", "--updates", "3", "--batch", "2", "--context", "8"]
    wide.main([*sizes, "--commands", "drift", "backprop"])
    assert "6 updates, 60 tokens" in printed[2]
    found = [match for match in map(LINE.match, printed) if match]
    names = ["training and recording", "drift", "backprop"]
    expected = [row for name in names for row in (f"{name}: peak memory", "CPU time")]
    assert [match["what"] for match in found] == expected
    assert all(float(match["value"].replace(",", "")) > 0 for match in found)


def test_a_constant_spread_is_measured_beside_a_free_one(capsys):
    spread.main(["--tokens", "300", "--updates", "1", "--repeats", "2"])
    printed = capsys.readouterr().out
    for precision in spread.PRECISIONS:
        assert re.search(rf"{precision}: free spread, an update +\S+ ms", printed)
    assert len(re.findall(r"constant / free +[0-9.]+ x", printed)) == len(spread.PRECISIONS)


def test_the_synthetic_text_has_the_dead_that_it_says(tmp_path):
    files = wide.Files.within(tmp_path)
    wide.write_text(files, 100)
    census, (stream, about) = read_census(files.census), read_stream(files.stream)
    assert about["vocabulary_size"] == 100
    assert (np.flatnonzero(census["dead"]) >= 63).all() and census["dead"].sum() == 37
    assert (np.bincount(stream, minlength=100) == census["count"]).all()
    assert census["count"][0] / census["count"][9] == pytest.approx(10, rel=0.1)


def test_the_plain_loop_trains_the_same_bits():
    bare, trainer, other = tiny_trainer(), tiny_trainer(), tiny_trainer(seed=1)
    arms.train_barely(bare, 4, Path("unused"), tiny_census())
    for one in (trainer, other):
        arms.train_unrecorded(one, 4, Path("unused"), tiny_census())
    assert bare.update == trainer.update == 4
    for name, tensor in trainer.state().items():
        expected = bits(tensor.float().numpy())
        assert (bits(bare.state()[name].float().numpy()) == expected).all()
        assert (bits(other.state()[name].float().numpy()) != expected).any()


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_both_records_hold_the_same_bits(precision, tmp_path):
    ours, baseline = tmp_path / "segment-000.nc", tmp_path / "baseline.h5"
    arms.train_recorded(tiny_trainer(precision=precision), 4, ours, tiny_census())
    arms.train_stepwise(tiny_trainer(precision=precision), 4, baseline, tiny_census())
    for what in ((reading.ALL, reading.ALL), (slice(3, 4), reading.ALL), (slice(7), slice(1, 3))):
        reading._compare(ours, baseline, what)
    rewritten = tmp_path / "rewritten.h5"
    reading.rewrite_one_step_at_a_time(ours, rewritten)
    reading._compare(ours, rewritten, (reading.ALL, reading.ALL))
    with h5py.File(baseline, "r+") as file:
        file["grad"][2, 3, 4] = file["grad"][2, 3, 4] + 1
    with pytest.raises(AssertionError, match="readers differ"):
        reading._compare(ours, baseline, (reading.ALL, reading.ALL))


def test_a_part_of_a_segment_behind_whole_ones_is_refused(tiny_study):
    arguments = ["--target", "overhead", "--updates", "7", *tiny_study]
    with pytest.raises(UserError, match="7 is not a number of whole segments of "):
        recording.main(arguments)


def test_blocks_of_the_known_sizes():
    default = RunSpec()
    assert study.block_bytes(default, 4096, 500) == 4 * 63 * 4096 * 64 * 2
    assert study.block_bytes(default, 10_000, 500) == 4 * 63 * 10_000 * 64 * 2
    mixed = default.model_copy(update={"precision": "bf16-weights"})
    assert study.block_bytes(mixed, 4096, 500) == 63 * 4096 * 64 * (2 + 2 + 4 + 4)


def test_rows_judge_by_the_median():
    assert "<= 1.15 met" in str(study.Row("x", [1.0, 1.1, 9.0], at_most=1.15))
    assert "<= 1.15 MISSED" in str(study.Row("x", [1.0, 1.2, 9.0], at_most=1.15))
    assert ">= 8 met" in str(study.Row("x", [8.0], at_least=8))
    assert ">= 8 MISSED" in str(study.Row("x", [7.99], at_least=8))
    assert "1 to 9" in str(study.Row("x", [1.0, 1.1, 9.0]))
    assert study.ratios([2, 9], [1, 3]) == [2, 3]


def test_measures_take_turns():
    calls = []
    measures = {name: lambda name=name: calls.append(name) or len(calls) for name in "AB"}
    assert study.alternate(measures, 2) == {"A": [1, 3], "B": [2, 4]}
    assert "".join(calls) == "ABAB"


def test_widening_is_exact():
    patterns = np.arange(2**16).astype(np.uint16)
    assert (reading.widened(patterns).view(np.uint32) == patterns.astype(np.uint32) << 16).all()


def test_the_bits_of_two_records_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(wide, "TEXT_LENGTH", 3000)
    files = wide.Files.within(tmp_path)
    wide.write_text(files, 60)
    spec = RunSpec(batch=2, context=8, width=8, device="cpu", record=Record(segment=4))
    halves = spec.model_copy(update={"record": Record(segment=2)})
    other = spec.model_copy(update={"lr": 0.002})
    one = gpu.record(tmp_path / "one", files, spec, 1)
    assert gpu.differing(one, gpu.record(tmp_path / "halves", files, halves, 2)) == "none"
    found = gpu.differing(one, gpu.record(tmp_path / "other", files, other, 1))
    assert found["lr"] == 4
    assert found["W"] > 0
    assert "h_mean" in found and "loss" in found


def test_the_script_for_gpus_tries_itself_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(wide, "TEXT_LENGTH", 3000)
    sizes = ["--small", "--updates", "3", "--checked", "5", "--regimes", "pure-bf16"]
    sizes += ["--together", "2"]
    gpu.main([*sizes, "--analyses", "audit", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "gpu.json").read_text())
    bits, end, said, speed = (
        rows[f"tiny pure-bf16: {what}"] for what in ("bits", "divergence", "analyses", "speed")
    )
    assert bits.pop("replayed on the device, values that differ") == 0
    assert bits.pop("captured") is False  # on a CPU nothing is
    ways = ("repeated", "in two segments", "one by one", gpu.PLAIN)
    assert bits == {f"{way}, what differs": "none" for way in ways}
    at = end.pop("diverged at")
    assert at[0] == at[1] and 2 < at[0] <= 10
    assert end == {"diverged, what differs": "none", "diverged, checkpoints": "the same"}
    assert re.fullmatch("audit wide: 0 of [0-9,]+ recorded values differ on replay", said["audit"])
    rates = [what for what, rate in speed.items() if what.endswith("updates/s") and rate > 0]
    assert len(rates) == len(gpu.TIMINGS) == 7
    assert speed["floor of the update, ms"] > 0
    assert rows["tiny pure-bf16: together"]["2 processes, recorded: updates/s"] > 0
    rival = rows["tiny: HuggingFace's Trainer"]
    assert "left out" in rival or (len(rival) == 2 and min(rival.values()) > 0)
    assert rows["random bits that differ from the CPU's"] == 0


def test_the_script_for_gpus_names_what_it_leaves_out(tmp_path):
    limits = ["--small", "--minutes", "0", "--regimes", "fp32"]
    gpu.main([*limits, "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "gpu.json").read_text())
    for what in ("bits", "divergence", "speed"):
        assert rows[f"tiny fp32: {what}"] == {"left out": "the time is up"}


def test_a_divergence_that_leaves_another_state_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(wide, "TEXT_LENGTH", 3000)

    def restore(snapshot, trainer):
        trainer.update = snapshot.update

    monkeypatch.setattr(trainer_module._Snapshot, "restore", restore)
    files = wide.Files.within(tmp_path)
    wide.write_text(files, 60)
    spec = RunSpec(batch=2, context=8, width=8, device="cpu")
    with gpu.in_blocks(gpu.BLOCK):
        found = gpu.check_divergence(tmp_path, files, spec, 16)
    assert found["diverged, checkpoints"] == "differ"


def test_a_large_matrix_is_examined_and_its_black_hole_found(tmp_path, capsys):
    examining.main(["--tokens", "500", "--width", "48", "--folder", str(tmp_path)])
    said = capsys.readouterr().out
    assert "500 x 48" in said and "peak memory" in said
    assert list(tmp_path.iterdir()) == []


def test_random_bits_are_those_of_the_cpu():
    assert gpu.noise_differs(torch.device("cpu")) == 0


def test_chunks_of_any_shape_are_written_and_read(monkeypatch):
    monkeypatch.setattr(chunks, "UPDATES", 9)
    states = {name: torch.randn(10, 6, 4).bfloat16() for name in layout.STATE_TENSORS}
    tensors = states | {"grad": torch.randn(9, 6, 4).bfloat16()}
    stored, *seconds = chunks._measure(tensors, 4, 2**18)
    assert stored > 10 * 6 * 4 * 2
    assert min(seconds) > 0
