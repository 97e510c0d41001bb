"""A run is read from its first segment on, of one run, from where its names say that it lies."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest
from planted import float_bits, planted, write_run
from tiny import bits, tiny_spec, train_run

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.freezing import freezing as freezing
from deadtokens.identity import check_run
from deadtokens.run import layout
from deadtokens.seal import seal, seal_path
from deadtokens.trajectory import scalars
from deadtokens.trajectory.blocks import read_blocks
from deadtokens.trajectory.parts import load_tensor
from deadtokens.trajectory.pieces import read_pieces
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import list_segments
from deadtokens.trajectory.tiles import read_tiles

READERS = {
    "list_segments": list_segments,
    "open_run": open_run,
    "load_tensor": lambda run: load_tensor(run, "W"),
    "read_blocks": lambda run: list(read_blocks(run, ["W"])),
    "read_tiles": lambda run: list(read_tiles(run)),
    "read_pieces": lambda run: list(read_pieces(run, ["W"])),
}
SEGMENT = 4


def spec_of(seed):
    return tiny_spec(seed=seed, record={"segment": SEGMENT})


def write_named(results, seed, segments=2, **attributes):
    """Write a run as the workflow does, in the folder of its name; return its trajectory."""
    spec = spec_of(seed)
    folder = results / spec.identity() / "trajectory"
    ends = [SEGMENT * index for index in range(segments + 1)]
    about = {"run": spec.identity(), "spec": spec.json_text(), "device": "cpu"} | attributes
    write_run(folder, planted(ends[-1], 6, 3, seed=seed), ends, **about)
    return folder


def change(path, **attributes):
    """Change what a segment says of itself, and seal it again."""
    with h5py.File(path, "r+") as file:
        file.attrs.update(attributes)
    seal(path)


@pytest.fixture
def two_seeds(tmp_path):
    return write_named(tmp_path, seed=0), write_named(tmp_path, seed=1)


@pytest.mark.parametrize("reader", READERS)
def test_two_runs_exchanged_are_noticed_by_every_reader(reader, two_seeds):
    READERS[reader](two_seeds[0])
    one, other = (folder.parent for folder in two_seeds)
    one.rename(one.with_name("between"))
    other.rename(one)
    one.with_name("between").rename(other)
    for folder in two_seeds:
        with pytest.raises(UserError, match=r"is of run .*, but lies in the folder of run .*"):
            READERS[reader](folder)


@pytest.mark.parametrize("analysis", ["freezing", "scalars"])
def test_no_analysis_takes_another_run_for_this_one(analysis, two_seeds, tmp_path):
    one, other = two_seeds
    shutil.rmtree(one)
    shutil.copytree(other, one)
    output = tmp_path / "output.nc"
    with pytest.raises(UserError, match=f"lies in the folder of run {one.parent.name}"):
        call(analysis, [*map(str, sorted(one.glob("*.nc"))), "--output", str(output)])
    assert not output.exists()


def test_a_copy_in_a_folder_of_any_other_name_is_read(two_seeds, tmp_path):
    expected = open_run(two_seeds[0]).W.values
    for name in ("mine", "backup_20260131/trajectory", "run", "a_1234567/trajectory"):
        copy = tmp_path / "copies" / name
        shutil.copytree(two_seeds[0], copy)
        assert (bits(open_run(copy).W.values) == bits(expected)).all()


def test_a_run_is_not_called_by_the_name_of_another_spec(two_seeds):
    path = two_seeds[0] / "segment-000.nc"
    change(path, spec=spec_of(seed=1).json_text())
    with pytest.raises(UserError, match=r"segment-000\.nc: calls itself run .*, but its spec is"):
        open_run(two_seeds[0])


def test_a_spec_of_another_version_of_the_package_has_its_own_hash(tmp_path):
    spec = json.loads(spec_of(0).json_text()) | {"key of another version": 1}
    own = spec_of(0).identity()
    with pytest.raises(UserError, match="calls itself"):
        check_run(tmp_path / "x.nc", own, json.dumps(spec))
    check_run(tmp_path / "x.nc", own, json.dumps(json.loads(spec_of(0).json_text()), indent=2))


@pytest.mark.parametrize("text", ["", "null", "[1]", "{", "7"])
def test_a_spec_that_is_none_is_told(text, tmp_path):
    with pytest.raises(UserError, match=r"x\.nc: the spec of the run in it is no JSON object"):
        check_run(tmp_path / "x.nc", spec_of(0).identity(), text)


@pytest.mark.parametrize("reader", READERS)
def test_a_run_without_its_first_segment_is_refused(reader, two_seeds, tmp_path):
    second = two_seeds[0] / "segment-001.nc"
    with pytest.raises(UserError, match=r"segment-001\.nc: is not the first segment of its run"):
        READERS[reader]([second])
    assert list(open_run([second], check=False).state) == [4, 5, 6, 7, 8]


def test_a_gap_and_another_run_in_between_are_refused(tmp_path):
    one, other = write_named(tmp_path, seed=0, segments=3), write_named(tmp_path, seed=1)
    first, second, third = list_segments(one)
    with pytest.raises(UserError, match=r"segment-002\.nc: does not begin where"):
        open_run([first, third])
    with pytest.raises(UserError, match=r"segment-001\.nc: belongs to another run"):
        open_run([first, other / "segment-001.nc", third])
    with pytest.raises(UserError, match=r"segment-000\.nc: does not begin where"):
        open_run([first, first])
    assert open_run([first, second]).sizes["update"] == 8


def test_a_segment_under_another_number_is_refused(two_seeds):
    first, second = (two_seeds[0] / layout.segment_name(index) for index in range(2))
    first.rename(first.with_name("x"))
    second.rename(first)
    first.with_name("x").rename(second)
    for path in (first, second):
        seal(path)
    with pytest.raises(UserError, match=r"holds the updates 5 to 8 of its run, not 1 to 4"):
        list_segments(two_seeds[0])


def test_segments_are_ordered_by_number(tmp_path):
    write_run(tmp_path, planted(3, 5, 2), [0, 1, 2, 3])
    for index, number in enumerate((998, 999, 1000)):
        path = tmp_path / layout.segment_name(number)
        (tmp_path / layout.segment_name(index)).rename(path)
        seal(path)
    (tmp_path / "segment-old.nc").write_bytes(b"no segment")
    names = ["segment-998.nc", "segment-999.nc", "segment-1000.nc"]
    assert [path.name for path in list_segments(tmp_path)] == names
    assert list(open_run(tmp_path)["update"]) == [1, 2, 3]


def test_opened_by_a_relative_path_it_is_computed_elsewhere(tmp_path, monkeypatch):
    record = {"record": {"segment": 4, "tensors": ["grad"]}}
    (tmp_path / "one").mkdir()
    train_run(tmp_path / "one", 2, **record)
    whole = open_run(tmp_path / "one").load()
    monkeypatch.chdir(tmp_path)
    run = open_run("one")
    listed = open_run([os.path.join("one", layout.segment_name(index)) for index in range(2)])
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    for name in ("W", "exp_avg", "grad", "loss", "token_string"):
        assert (run[name].values == whole[name].values).all()
        assert (listed[name].values == whole[name].values).all()


def test_as_many_segments_as_there_may_be_are_opened_one_by_one(tmp_path, monkeypatch):
    tensors = planted(40, 5, 2)
    write_run(tmp_path, tensors, list(range(41)))
    opened = []
    monkeypatch.setattr("xarray.open_dataset", counting(opened, open_dataset()))
    run = open_run(tmp_path)
    assert len(opened) <= 2  # no dataset a segment
    assert (bits(run.W.values) == float_bits(tensors["W"])).all()
    before = len(os.listdir("/proc/self/fd"))
    for count, _ in enumerate(read_blocks(tmp_path, ["W"])):
        assert len(os.listdir("/proc/self/fd")) < before + 20, count
    assert (bits(load_tensor(tmp_path, "W")).transpose(2, 0, 1) == float_bits(tensors["W"])).all()


def open_dataset():
    import xarray

    return xarray.open_dataset


def counting(calls, function):
    def counted(*arguments, **options):
        calls.append(arguments)
        return function(*arguments, **options)

    return counted


def test_a_run_of_two_machines_names_both(tmp_path):
    folder = write_named(tmp_path, seed=0, segments=3, machine="processor: abacus")
    assert open_run(folder).attrs["machine"] == "processor: abacus"
    change(folder / "segment-002.nc", device="cuda", machine="driver: 1", packages="torch 9")
    run = open_run(folder)
    assert run.attrs["device"] == "cpu (from update 1); cuda (from update 9)"
    assert run.attrs["machine"] == "processor: abacus (from update 1); driver: 1 (from update 9)"
    collected = scalars.collect_scalars(folder)
    for name in ("device", "machine", "packages"):
        assert collected.attrs[name] == run.attrs[name]
    assert run.attrs["packages"].endswith("; torch 9 (from update 9)")
    assert np.array_equal(collected.loss, np.arange(1, 13))


def test_what_is_no_file_or_no_segment_is_told(two_seeds):
    folder = two_seeds[0]
    second = folder / "segment-001.nc"
    second.write_bytes(b"no segment")
    seal(second)
    with pytest.raises(UserError, match=r"segment-001\.nc: not a readable segment .*: restore"):
        open_run(folder)
    second.unlink()
    second.mkdir()
    with pytest.raises(UserError, match=r"segment-001\.nc: is a folder, where a file should be"):
        open_run(folder)
    second.rmdir()
    seal_path(second).unlink()
    assert open_run(folder).sizes["update"] == 4
    with pytest.raises(UserError, match="no folder that can be read"):
        open_run(folder / "segment-000.nc")


@pytest.mark.parametrize("kept", ["segment-000.nc", "segment-000.nc.seal.json"])
def test_permission_denied_is_a_sentence(kept, two_seeds, monkeypatch):
    denied = two_seeds[0] / kept
    own = {"open": type(denied).open, "read_text": type(denied).read_text}

    def refuse(name):
        def refused(path, *arguments, **options):
            if path == denied:
                raise PermissionError(13, "Permission denied", str(path))
            return own[name](path, *arguments, **options)

        return refused

    for name in own:
        monkeypatch.setattr(type(denied), name, refuse(name))
    with pytest.raises(UserError, match=r"segment-000\.nc.* cannot be read \(Permission denied\)"):
        open_run(two_seeds[0])
