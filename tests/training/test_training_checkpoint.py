"""Checkpoints: exactly the run's tensors, at the end of the segment that their name says."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny import tiny_spec, tiny_stream, tiny_trainer, train_run, write_vocabulary

from deadtokens.backprop.states import read_states
from deadtokens.errors import UserError
from deadtokens.seal import seal
from deadtokens.text.read import digest
from deadtokens.training.checkpoint import load_checkpoint, read_saved
from deadtokens.training.segment import train_segment
from deadtokens.training.state import read_checkpoint

W = "embedding.weight"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of a run of two segments."""
    folder = tmp_path_factory.mktemp("run")
    train_run(folder, 2)
    return folder


@pytest.fixture
def first(trained, tmp_path):
    path = tmp_path / "checkpoint-000.safetensors"
    path.write_bytes((trained / path.name).read_bytes())
    seal(path)
    return path


def rewrite(path, tensors=None, **about):
    """Change what a checkpoint holds, and seal it again."""
    with safe_open(path, framework="pt") as file:
        stated = json.loads(file.metadata()["about"])
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    held = (tensors or (lambda it: it))(held)
    save_file(held, path, metadata={"about": json.dumps(stated | about)})
    seal(path)


def go_on(trained, previous, folder, segment=1, **fields):
    """Train a segment from a checkpoint."""
    files = (trained / "stream.nc", trained / "census.nc", previous)
    outputs = (folder / "segment-001.nc", folder / "next.safetensors")
    train_segment("tiny", tiny_spec(**fields), segment, *files, *outputs)


READERS = {
    "training": lambda path: load_checkpoint(tiny_trainer(), {}, path),
    "analysis": read_checkpoint,
}


@pytest.mark.parametrize("reader", READERS)
def test_what_was_saved_is_read(reader, first):
    assert READERS[reader](first).update == 4


RENAMED = {
    "a renamed weight": lambda held: {
        name.replace("positions", "places"): it for name, it in held.items()
    },
    "a renamed moment": lambda held: {
        name.replace("exp_avg_sq", "exp_avg_cu"): it for name, it in held.items()
    },
    "a moment that is absent": lambda held: {
        name: it for name, it in held.items() if name != f"{W}/exp_avg"
    },
    "a tensor too many": lambda held: held | {"bias": torch.zeros(1)},
    "another shape": lambda held: held | {f"{W}/exp_avg": held[f"{W}/exp_avg"][:, :-1].clone()},
    "another format": lambda held: held | {f"{W}/weight": held[f"{W}/weight"].float()},
    "no tensor at all": lambda held: {},
}


@pytest.mark.parametrize("change", RENAMED)
@pytest.mark.parametrize("reader", READERS)
def test_the_tensors_are_exactly_those_of_the_run(reader, change, first):
    rewrite(first, RENAMED[change])
    with pytest.raises(
        UserError, match=r"checkpoint-000\.safetensors: tensor '.*' is .* in the run"
    ):
        READERS[reader](first)


METADATA = {
    "update": ["4", "four", None, -1, 4.0, True, [4]],
    "diverged_at": ["5", 9, 0, []],
    "origin": [None, [], "spec", {"spec": 7}],
    "machine": [None, 7, {"device": None}],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n in METADATA for v in METADATA[n]])
@pytest.mark.parametrize("reader", READERS)
def test_metadata_of_another_kind_are_told(reader, name, value, first):
    rewrite(first, **{name: value})
    with pytest.raises(UserError, match=r"checkpoint-000\.safetensors: "):
        READERS[reader](first)


def test_a_checkpoint_that_ends_no_segment_is_told(first):
    rewrite(first, update=0)
    with pytest.raises(UserError, match=r"tensor '.*/exp_avg' is .* and absent in the run"):
        read_checkpoint(first)
    rewrite(first, update=3)
    with pytest.raises(UserError, match="update 3 ends no segment of 4 updates"):
        read_checkpoint(first)


@pytest.mark.parametrize("update", [3, 8, 4_000_000_000])
def test_training_goes_on_from_the_end_of_the_segment_before_alone(
    update, trained, first, tmp_path
):
    go_on(trained, first, tmp_path)
    rewrite(first, update=update)
    with pytest.raises(UserError, match=rf"state after update {update:,}, where that after 4"):
        go_on(trained, first, tmp_path)


def test_only_the_first_segment_begins_from_nothing(trained, first, tmp_path):
    with pytest.raises(UserError, match="segment 1 needs --previous"):
        go_on(trained, None, tmp_path)
    with pytest.raises(UserError, match="segment 0 begins a run: it has no --previous"):
        go_on(trained, first, tmp_path, segment=0)
    assert not (tmp_path / "segment-001.nc").exists()


def named_run(folder, seed):
    """Train a run where the workflow does; return its checkpoints."""
    spec = tiny_spec(seed=seed)
    here = folder / spec.identity()
    write_vocabulary(folder)
    previous, paths = None, []
    for segment in range(2):
        outputs = (
            here / "trajectory" / f"segment-{segment:03d}.nc",
            here / "checkpoints" / f"checkpoint-{segment:03d}.safetensors",
        )
        files = (folder / "stream.nc", folder / "census.nc", previous)
        train_segment(spec.identity(), spec, segment, *files, *outputs)
        previous = outputs[1]
        paths.append(previous)
    return paths


def put(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
    seal(target)


def test_a_foreign_checkpoint_in_a_runs_folder_is_told(tmp_path):
    one, other = (named_run(tmp_path, seed) for seed in range(2))
    assert [read_saved(path).update for path in one] == [4, 8]
    put(one[1], tmp_path / "elsewhere.safetensors")
    assert read_saved(tmp_path / "elsewhere.safetensors").update == 8
    put(one[1], one[0])
    with pytest.raises(UserError, match="state after update 8, where that after 4 is needed"):
        read_saved(one[0])
    put(other[0], one[0])
    with pytest.raises(UserError, match=r"calls itself run .*, but its spec is that of another"):
        read_saved(one[0])


def test_checkpoints_of_two_runs_are_not_mixed(trained, tmp_path):
    text = digest(tiny_stream())
    other = tmp_path / "other"
    other.mkdir()
    train_run(other, 1, seed=1)
    mine = trained / "checkpoint-000.safetensors"
    assert [state.update for state in read_states([mine], text)] == [0, 4]
    with pytest.raises(UserError, match="belongs to another run"):
        read_states([mine, other / "checkpoint-000.safetensors"], text)
