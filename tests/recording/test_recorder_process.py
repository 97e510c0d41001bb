"""The recorder and the process around it: copies, forks, ends without a close, failing disks."""

import copy
import gc
import io
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import Model, loss_of, train

from deadtokens.recording import record
from deadtokens.recording.contents import is_being_written
from deadtokens.recording.forgotten import finish_forgotten
from deadtokens.recording.recorder import Recorder
from deadtokens.trajectory.reader import open_run
from deadtokens.verify import verify_results


def new() -> tuple[Model, torch.optim.Optimizer]:
    model = Model()
    return model, torch.optim.AdamW(model.parameters(), lr=0.01)


def recorder(folder: Path, model: Model, optimizer, **options) -> Recorder:
    hooks = {"embedding": model.embedding, "unembedding": model.unembedding}
    return Recorder(folder, model.embedding.weight, optimizer, **{"segment": 4} | hooks | options)


def expected(updates: int) -> np.ndarray:
    model, optimizer = new()
    return np.array(train(model, optimizer, range(updates)).W)


def test_what_is_trained_can_be_saved_and_copied_as_ever(tmp_path):
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer) as recording:
        train(model, optimizer, range(3))
        copies = copy.deepcopy((model, optimizer))
        pickled = pickle.dumps((model, optimizer))
        torch.save(model, io.BytesIO())
        torch.save(optimizer.state_dict(), io.BytesIO())
        before = recording.counted.take().copy()
        for other, others in (copies, pickle.loads(pickled)):
            train(other, others, range(3, 8))  # of which the recorder knows nothing
        assert not recording.counted.take().any()
        assert before.any()
        train(model, optimizer, range(3, 6))
    assert b"deadtokens" not in pickled
    assert np.array_equal(open_run(tmp_path / "mine").W, expected(6))


def run_in_process(code: str, folder: Path, limit: float = 120) -> subprocess.CompletedProcess:
    before = """
import os, sys, gc, torch
from foreign import Model, train
from deadtokens.recording.recorder import Recorder
torch.set_num_threads(1)
model = Model()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
folder = sys.argv[1]
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-P", "-W", "error", "-c", before + code, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)


def test_a_process_that_ends_without_a_close_keeps_what_is_complete(tmp_path):
    code = """
Recorder(folder, model.embedding.weight, optimizer, segment=4)
train(model, optimizer, range(10))
"""
    ended = run_in_process(code, tmp_path / "mine")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert np.array_equal(open_run(tmp_path / "mine").W, expected(10))


def test_an_exception_of_the_training_keeps_what_is_complete(tmp_path):
    code = """
recorder = Recorder(folder, model.embedding.weight, optimizer, segment=4)
train(model, optimizer, range(6))
raise RuntimeError("of the training")
"""
    ended = run_in_process(code, tmp_path / "mine")
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("RuntimeError: of the training")
    assert np.array_equal(open_run(tmp_path / "mine").W, expected(6))


def test_a_recorder_that_is_forgotten_with_its_training_keeps_what_is_complete(tmp_path):
    model, optimizer = new()
    recorder(tmp_path / "mine", model, optimizer)
    train(model, optimizer, range(6))
    del model, optimizer
    finish_forgotten()
    assert not is_being_written(tmp_path / "mine")
    assert np.array_equal(open_run(tmp_path / "mine").W, expected(6))


IN_A_CALL_OF_HDF5 = """
from h5py._objects import phil  # what a call of h5py holds: the collector may run in its midst
gc.disable()
Recorder(folder, model.embedding.weight, optimizer, embedding=model.embedding, segment=4)
train(model, optimizer, range(10))
optimizer.itself = optimizer  # as schedules have it
del model, optimizer
with phil:
    gc.collect()
    assert not os.path.exists(f"{folder}/segment-002.nc")  # whose writing takes the lock
"""


def test_the_collector_only_hands_a_record_over(tmp_path):
    """The process ends when the record is complete, and no earlier."""
    ended = run_in_process(IN_A_CALL_OF_HDF5, tmp_path / "mine")
    assert (ended.returncode, ended.stderr) == (0, "")
    run = open_run(tmp_path / "mine")
    assert np.array_equal(run.W, expected(10))
    assert verify_results(tmp_path / "mine") == {}
    assert run.sampled.sum() == 10 * 2 * 4 * 8


def test_a_collector_that_finishes_a_record_in_a_call_of_hdf5_waits_for_ever(tmp_path):
    """Negative control: the same, but for what the collector does."""
    finishes = """
import faulthandler
from deadtokens.recording.forgotten import Finisher
Finisher.give = lambda self, task: task()
faulthandler.dump_traceback_later(10, exit=True)
"""
    ended = run_in_process(finishes + IN_A_CALL_OF_HDF5, tmp_path / "mine")
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "in finish" in ended.stderr
    assert not (tmp_path / "mine" / "segment-002.nc").exists()


def test_what_fails_behind_the_collector_is_told_and_frees_the_folder(
    tmp_path, monkeypatch, caplog
):
    model, optimizer = new()
    recorder(tmp_path / "mine", model, optimizer)
    train(model, optimizer, range(3))

    def refuse(*paths):
        raise OSError("the disk is gone")

    monkeypatch.setattr(record, "put_sealed", refuse)
    del model, optimizer
    finish_forgotten()
    told = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert told == [f"{tmp_path / 'mine'}: the record ends before its last file: the disk is gone"]
    monkeypatch.undo()
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer):
        train(model, optimizer, range(3))
    assert np.array_equal(open_run(tmp_path / "mine").W, expected(3))


def cell(folder: Path, begin: int, end: int) -> None:
    """What a notebook's cell does that closes no recorder."""
    model, optimizer = new()
    train(model, optimizer, range(begin))
    recorder(folder, model, optimizer)
    train(model, optimizer, range(begin, end))


def test_a_cell_that_runs_again_waits_for_the_record_that_it_has_forgotten(tmp_path):
    cell(tmp_path / "mine", 0, 6)
    cell(tmp_path / "mine", 6, 9)
    cell(tmp_path / "mine", 0, 7)
    finish_forgotten()
    assert np.array_equal(open_run(tmp_path / "mine").W, expected(7))
    assert len(list((tmp_path / "mine" / "set-aside").iterdir())) == 3


def test_a_recorder_that_has_a_name_ends_with_its_optimizer(tmp_path):
    """As in a notebook, where a cell's names are there until it has made what replaces them."""
    for updates in (6, 7):
        model, optimizer = new()
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
        recording = recorder(tmp_path / "mine", model, optimizer)
        train(model, optimizer, range(updates))
    assert recording.optimizer is optimizer
    del optimizer, schedule
    gc.collect()
    recording.checkpoint()
    model(torch.zeros(1, 1, dtype=torch.int64))
    recording.count(torch.tensor([7]))
    recording.close()
    assert recording.failure is None
    assert not is_being_written(tmp_path / "mine")
    assert np.array_equal(open_run(tmp_path / "mine").W, expected(7))


def test_a_folder_beside_that_a_forgotten_recorder_begins_is_found(tmp_path):
    cell(tmp_path / "mine", 0, 6)
    with pytest.warns(UserWarning, match="mine-2"):
        cell(tmp_path / "mine", 8, 10)
    cell(tmp_path / "mine", 10, 12)
    finish_forgotten()
    assert np.array_equal(open_run(tmp_path / "mine-2").W, expected(12)[8:])
    assert not (tmp_path / "mine-3").exists()


class Deaf(torch.nn.Module):
    def register_forward_hook(self, *arguments, **options):
        raise RuntimeError("takes no hooks")


def test_a_recorder_that_was_refused_leaves_the_folder_and_the_optimizer(tmp_path):
    model, optimizer = new()
    with pytest.raises(RuntimeError) as kept:  # as a notebook keeps what was raised
        recorder(tmp_path / "mine", model, optimizer, unembedding=Deaf())
    assert not is_being_written(tmp_path / "mine")
    assert not optimizer._optimizer_step_pre_hooks
    del kept


def test_forked_processes_leave_the_record_alone(tmp_path):
    code = """
import multiprocessing
recorder = Recorder(folder, model.embedding.weight, optimizer, segment=4)
train(model, optimizer, range(2))
child = os.fork()
if not child:
    train(model, optimizer, range(2, 12))  # would fill a segment, and more
    recorder.close()
    del recorder, model, optimizer
    gc.collect()
    os._exit(0)  # as a worker ends
assert os.waitpid(child, 0)[1] == 0
class Batches(torch.utils.data.Dataset):
    def __len__(self): return 4
    def __getitem__(self, index): return index
loader = torch.utils.data.DataLoader(Batches(), num_workers=2, multiprocessing_context="fork")
for update, _ in enumerate(loader, start=2):
    train(model, optimizer, range(update, update + 1))
recorder.close()
"""
    ended = run_in_process(code, tmp_path / "mine")
    assert ended.returncode == 0, ended.stderr
    assert np.array_equal(open_run(tmp_path / "mine").W, expected(6))


def test_a_forked_process_finishes_its_own_forgotten_records_alone(tmp_path):
    code = """
from deadtokens.recording.forgotten import finish_forgotten
def forget(at):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    optimizer.itself = optimizer
    Recorder(f"{folder}/{at}", model.embedding.weight, optimizer, segment=4)
    train(model, optimizer, range(6))
gc.disable()
forget("parent")
child = os.fork()
if not child:
    gc.collect()  # finds what is the parent's
    forget("child")
    finish_forgotten()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert not os.path.exists(f"{folder}/parent/segment-001.nc")
assert os.path.exists(f"{folder}/child/segment-001.nc")
"""
    ended = run_in_process(code, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    for name in ("parent", "child"):
        assert np.array_equal(open_run(tmp_path / name).W, expected(6))


def test_a_worker_that_outlives_its_parent_does_not_hold_the_folder(tmp_path):
    code = """
recorder = Recorder(folder, model.embedding.weight, optimizer, segment=4)
train(model, optimizer, range(4))
recorder.checkpoint()
if not os.fork():
    import time
    os.close(1), os.close(2)
    time.sleep(30)
    os._exit(0)
os.kill(os.getpid(), 9)
"""
    assert run_in_process(code, tmp_path / "mine").returncode == -9
    model, optimizer = new()
    Recorder(tmp_path / "mine", model.embedding.weight, optimizer).close()


def test_a_failure_of_the_thread_that_finishes_ends_the_record_and_is_told(tmp_path, monkeypatch):
    sealed = []

    def seal(path):
        sealed.append(path)
        if len(sealed) == 2:  # and the third, of what came behind it, would succeed
            raise OSError("the disk is gone")

    complete = record.put_sealed
    monkeypatch.setattr(record, "put_sealed", lambda *paths: (seal(paths[1]), complete(*paths)))
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer) as recording:
        with pytest.warns(UserWarning, match="the disk is gone") as told:
            train(model, optimizer, range(20))
        assert len(told) == 1
    assert str(recording.failure) == "the disk is gone"
    for path in (tmp_path / "mine").glob("segment-001*"):
        path.unlink()
    assert np.array_equal(open_run(tmp_path / "mine").W, expected(4))


def test_a_failure_in_close_is_told_and_nothing_else(tmp_path, monkeypatch):
    model, optimizer = new()
    recording = recorder(tmp_path / "mine", model, optimizer)
    train(model, optimizer, range(6))
    recording.record.wait()

    def refuse(*paths):
        raise OSError("the disk is gone")

    monkeypatch.setattr(record, "put_sealed", refuse)
    with pytest.warns(UserWarning, match="the disk is gone"):
        recording.close()
    recording.close()
    train(model, optimizer, range(6, 7))
    monkeypatch.undo()
    with recorder(tmp_path / "mine-2", model, optimizer):
        train(model, optimizer, range(7, 9))
    assert len(open_run(tmp_path / "mine-2")["update"]) == 2


def nothing(told: list) -> str:
    """Return the one sentence that was told, without the folder."""
    (sentence,) = (str(one.message) for one in told)
    folder, said, why = sentence.partition(": nothing is recorded: ")
    assert said
    assert folder.endswith("mine")
    return why


def test_a_record_of_nothing_says_so_and_why(tmp_path):
    model, optimizer = new()
    with pytest.warns(UserWarning) as told, recorder(tmp_path / "mine", model, optimizer):
        pass
    assert nothing(told) == "the optimizer has made no step"

    with pytest.warns(UserWarning) as told, recorder(tmp_path / "mine", model, optimizer, every=9):
        train(model, optimizer, range(8))
    assert nothing(told) == '`every` ({"0":9}) takes none of its 8 updates'

    model, optimizer = new()
    model.embedding.weight.requires_grad_(False)
    recording = recorder(tmp_path / "mine", model, optimizer, unembedding=None)
    for update in range(7):
        loss_of(model, update).backward()
        optimizer.step()
    with pytest.warns(UserWarning) as told:
        recording.close()
    assert nothing(told) == (
        "none of the optimizer's 7 steps has reached the weight, which had no gradient "
        "(`requires_grad`?)"
    )
    recording.close()  # which has been told
    assert not list((tmp_path / "mine").glob("*.nc"))


def test_a_record_of_something_or_of_a_training_that_fails_says_nothing(tmp_path):
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer, every=4):
        train(model, optimizer, range(4))
    with recorder(tmp_path / "mine", model, optimizer, every=4):
        pass
    with (
        pytest.raises(RuntimeError, match="of the training"),
        recorder(tmp_path / "other", model, optimizer),
    ):
        raise RuntimeError("of the training")


def test_a_relative_folder_is_where_the_training_has_begun(tmp_path, monkeypatch):
    for name in ("begun", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "begun")
    model, optimizer = new()
    with recorder("mine", model, optimizer) as recording:
        train(model, optimizer, range(6))
        monkeypatch.chdir(tmp_path / "elsewhere")
        train(model, optimizer, range(6, 11))
    assert recording.failure is None
    assert np.array_equal(open_run(tmp_path / "begun" / "mine").W, expected(11))
    assert not list((tmp_path / "elsewhere").iterdir())
