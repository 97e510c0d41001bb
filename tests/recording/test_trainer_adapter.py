"""The recorder in trainings of the real `transformers.Trainer`."""

import json
import os
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tokenizers
import torch
from gpt2 import LENGTH, LIVE, TOKENS, WIDTH, texts, tiny_gpt2
from processes import started
from spy import spying

from deadtokens.errors import UserError
from deadtokens.trajectory.reader import open_run

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from accelerate import Accelerator  # noqa: E402
from accelerate.optimizer import AcceleratedOptimizer  # noqa: E402
from accelerate.state import AcceleratorState  # noqa: E402

from deadtokens.recording.recorder import Recorder  # noqa: E402
from deadtokens.recording.trainer import TrainerRecorder  # noqa: E402

BATCH, ACCUMULATED, UPDATES = 2, 3, 8
ROUNDED = 5.1e-5  # losses that are logged, by some versions
TENSORS = ("W", "grad", "exp_avg", "exp_avg_sq")


@pytest.fixture(autouse=True)
def _no_training_is_set_up_by_another():
    """Precision is kept for the whole process, and whether to compile in its environment."""
    with patch.dict(os.environ):
        yield
    AcceleratorState._reset_state(reset_partial_state=True)


class Ended(Exception):
    """A mistake in the user's own code."""


class Breaks(transformers.TrainerCallback):
    """Raises behind an update."""

    def __init__(self, update: int):
        self.update = update

    def on_step_end(self, args, state, control, **given):
        if state.global_step == self.update:
            raise Ended


def trainer(folder: Path, *callbacks, model=None, **options) -> transformers.Trainer:
    """Return a trainer of which every update clips, accumulates and has a rate of its own."""
    asked = {
        "bf16": True,
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": ACCUMULATED,
        "max_steps": UPDATES,
        "warmup_steps": 4,
        "learning_rate": 0.01,
        "max_grad_norm": 0.1,
        "weight_decay": 0.1,
        "logging_steps": 1,
        "save_strategy": "no",
    }
    arguments = transformers.TrainingArguments(
        str(folder),
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **asked | options,
    )
    model = tiny_gpt2() if model is None else model
    return transformers.Trainer(
        model, arguments, train_dataset=texts(80), callbacks=list(callbacks)
    )


def assert_recorded(folder: Path, spy) -> None:
    run = open_run(folder)
    for name in TENSORS:
        assert np.array_equal(run[name], spy[name]), name
    assert run.lr.values == pytest.approx(spy.lr)


def test_three_lines_record_what_torch_s_own_update_is_given(tmp_path):
    training = trainer(tmp_path)
    training.add_callback(TrainerRecorder(tmp_path / "mine", segment=3, on_failure="raise"))
    with spying(training.model.transformer.wte.weight) as spy:
        training.train()
    assert_recorded(tmp_path / "mine", spy)
    run = open_run(tmp_path / "mine")
    assert dict(run.sizes) == {
        "state": UPDATES + 1,
        "update": UPDATES,
        "token": TOKENS,
        "component": WIDTH,
    }
    warm_up = [0, 0.0025, 0.005, 0.0075, 0.01, 0.0075, 0.005, 0.0025]
    assert run.lr.values == pytest.approx(warm_up)
    logged = [entry for entry in training.state.log_history if "grad_norm" in entry]
    assert all(entry["grad_norm"] > 0.1 for entry in logged)  # so each of them is clipped
    assert np.abs(run.grad).max() < 0.1
    assert run.loss.values == pytest.approx([entry["loss"] for entry in logged], abs=ROUNDED)
    assert run.sampled.sum() == UPDATES * ACCUMULATED * BATCH * LENGTH
    assert (run.sampled[:LIVE] > 0).all()
    assert not run.sampled[LIVE:].any()
    assert json.loads(run.attrs["recorded"])["implementation"] == "fused"


def test_a_recorded_training_has_the_bits_of_one_that_is_not(tmp_path):
    weights = []
    for callbacks in ([], [TrainerRecorder(tmp_path / "mine", forward=True)]):
        training = trainer(tmp_path, *callbacks)
        training.train()
        weights.append(list(training.model.parameters()))
    assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))
    run = open_run(tmp_path / "mine")
    assert run.probability.sum("token").values == pytest.approx(np.ones(UPDATES), rel=1e-5)
    assert ((run.entropy > 0) & (run.entropy < np.log(TOKENS))).all()
    assert run.h_mean.shape == (UPDATES, WIDTH)


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        ("lm_head.weight", {}),
        ("transformer.wte.weight", {"weight": "transformer.wte.weight"}),
        (
            "transformer.wpe.weight",
            {
                "weight": lambda model: model.transformer.wpe.weight,
                "embedding": None,
                "counts": np.ones(LENGTH, int),
            },
        ),
    ],
)
def test_the_weight_may_be_chosen(tmp_path, expected, options):
    training = trainer(tmp_path, model=tiny_gpt2(tied=False), optim="adamw_torch")
    training.add_callback(TrainerRecorder(tmp_path / "mine", on_failure="raise", **options))
    with spying(training.model.get_parameter(expected)) as spy:
        training.train()
    assert_recorded(tmp_path / "mine", spy)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch hides it
def test_a_compiled_training_is_recorded(tmp_path):
    compiled = {"torch_compile": True, "torch_compile_backend": "eager"}
    weights = []
    for callbacks in ([TrainerRecorder(tmp_path / "mine", on_failure="raise")], []):
        torch.compiler.reset()
        training = trainer(tmp_path, *callbacks, max_steps=3, **compiled)
        with spying(training.model.lm_head.weight) as spy:
            training.train()
        weights.append(spy["W"])
    torch.compiler.reset()
    assert np.array_equal(*weights)
    assert_recorded(tmp_path / "mine", spy)
    run = open_run(tmp_path / "mine")
    assert run.sampled.sum() == 3 * ACCUMULATED * BATCH * LENGTH
    logged = [entry["loss"] for entry in training.state.log_history if "loss" in entry]
    assert run.loss.values == pytest.approx(logged, abs=ROUNDED)


def test_the_trainer_s_tokenizer_spells_the_tokens(tmp_path):
    tokens = {f"t{number}": number for number in range(TOKENS)}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(tokenizers.models.WordLevel(tokens, unk_token="t0"))
    )
    training = trainer(tmp_path, max_steps=1)
    training.callback_handler.processing_class = tokenizer
    training.add_callback(TrainerRecorder(tmp_path / "mine"))
    training.train()
    assert open_run(tmp_path / "mine").token_string.values.tolist() == list(tokens)


def test_labels_that_are_not_read_are_counted(tmp_path):
    """An epoch whose last update has fewer batches: its loss is the mean over those."""
    training = trainer(tmp_path, max_steps=-1, num_train_epochs=1, gradient_accumulation_steps=3)
    training.train_dataset = [
        {"input_ids": torch.full((4,), 1), "labels": torch.tensor([-100, 1, 2, 3])}
    ] * 8
    training.add_callback(TrainerRecorder(tmp_path / "mine"))
    training.train()
    run = open_run(tmp_path / "mine")
    assert run.sampled[:5].values.tolist() == [0, 32, 8, 8, 0]
    logged = [entry["loss"] for entry in training.state.log_history if "loss" in entry]
    assert len(logged) == 2
    assert run.loss.values == pytest.approx(logged, abs=ROUNDED)


def test_a_resumed_training_goes_on_in_its_record(tmp_path):
    whole = trainer(tmp_path / "whole", save_strategy="steps", save_steps=4)
    with spying(lambda: whole.model.lm_head.weight) as spy:
        whole.train()
    broken = trainer(tmp_path / "broken", Breaks(6), save_strategy="steps", save_steps=4)
    with TrainerRecorder(tmp_path / "mine", segment=3) as recording, pytest.raises(Ended):
        broken.add_callback(recording)
        broken.train()
    assert open_run(tmp_path / "mine").sizes["update"] == 6
    resumed = trainer(tmp_path / "broken", save_strategy="steps", save_steps=4)
    resumed.add_callback(TrainerRecorder(tmp_path / "mine", segment=3, on_failure="raise"))
    resumed.train(resume_from_checkpoint=True)
    assert_recorded(tmp_path / "mine", spy)
    assert len(list((tmp_path / "mine" / "set-aside").iterdir())) == 1
    assert open_run(tmp_path / "mine").sampled.sum() == UPDATES * ACCUMULATED * BATCH * LENGTH


def test_a_second_training_is_recorded_behind_the_first(tmp_path):
    training = trainer(tmp_path)
    training.add_callback(TrainerRecorder(tmp_path / "mine", on_failure="raise"))
    with spying(training.model.lm_head.weight) as spy:
        training.train()
        training.train()
    assert_recorded(tmp_path / "mine", spy)
    assert open_run(tmp_path / "mine").sizes["update"] == 2 * UPDATES


def test_an_error_of_the_user_leaves_what_is_complete(tmp_path):
    training = trainer(tmp_path, Breaks(7))
    recording = TrainerRecorder(tmp_path / "mine", segment=3)
    training.add_callback(recording)
    with spying(training.model.lm_head.weight) as spy, pytest.raises(Ended):
        training.train()
    recording.recorder.record.wait()
    assert open_run(tmp_path / "mine").sizes["update"] == 6  # two files, complete and sealed
    recording.close()
    assert_recorded(tmp_path / "mine", spy)
    assert len(spy["grad"]) == 7


SCRIPT = """
import sys
import torch
from test_trainer_adapter import Breaks, TrainerRecorder, trainer
torch.set_num_threads(1)
training = trainer(sys.argv[1], Breaks(7))
training.add_callback(TrainerRecorder(sys.argv[1] + "/mine", segment=3))
training.train()
"""


def test_the_end_of_the_program_finishes_the_record(tmp_path):
    process = started(SCRIPT, tmp_path)
    said, _ = process.communicate()
    assert process.returncode == 1
    assert "Ended" in said.splitlines()[-1]
    assert open_run(tmp_path / "mine").sizes["update"] == 7


def test_a_loop_of_accelerate_s_hands_its_own_optimizer_over(tmp_path):
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = tiny_gpt2()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    loader = torch.utils.data.DataLoader(texts(12), batch_size=2)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    options = {"embedding": model.transformer.wte, "on_failure": "raise"}
    with (
        spying(model.lm_head.weight) as spy,
        Recorder(tmp_path / "mine", model.lm_head.weight, optimizer, **options) as recording,
    ):
        for given in loader:
            with accelerator.accumulate(model):
                loss = model(**given).loss
                recording.loss(loss / 2)
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), 0.1)
                optimizer.step()
                optimizer.zero_grad()
    assert_recorded(tmp_path / "mine", spy)
    run = open_run(tmp_path / "mine")
    assert run.sizes["update"] == 3
    assert run.sampled.sum() == 12 * LENGTH
    assert run.loss.values == pytest.approx(np.full(3, np.log(TOKENS)), abs=0.5)


def test_steps_that_accelerate_skips_are_no_updates(tmp_path):
    """Its fp16 wants a GPU; the wrapper of the optimizer and the scaler are those of it."""
    arguments = transformers.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    Accelerator(cpu=True)
    model = tiny_gpt2()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    optimizer = AcceleratedOptimizer(torch.optim.AdamW(model.parameters(), lr=0.01), scaler=scaler)
    rows = torch.stack([one["input_ids"] for one in texts(6)])
    given = {"model": model, "optimizer": optimizer}
    recording = TrainerRecorder(tmp_path / "mine", on_failure="raise")
    recording.on_train_begin(arguments, transformers.TrainerState(max_steps=6), None, **given)
    skipped = []
    with spying(model.lm_head.weight) as spy:
        for update in range(6):
            loss = model(rows, labels=rows).loss * (torch.inf if update == 2 else 1)
            scaler.scale(loss).backward()
            recording.on_pre_optimizer_step(arguments, None, None, **given)
            optimizer.step()
            skipped.append(optimizer.step_was_skipped)
            optimizer.zero_grad()
    recording.on_train_end(arguments, None, None, **given)
    assert skipped == [False, False, True, False, False, False]
    assert_recorded(tmp_path / "mine", spy)
    assert len(spy["grad"]) == 5


def test_a_weight_of_another_vocabulary_is_refused_before_the_first_update(tmp_path):
    training = trainer(tmp_path)
    training.add_callback(TrainerRecorder(tmp_path / "mine", weight="transformer.wpe.weight"))
    with pytest.raises(UserError, match="no row for, which has 9;"):
        training.train()
    assert training.state.global_step == 0


def test_a_record_for_which_there_is_no_room_is_refused_before_the_training(tmp_path):
    training = trainer(tmp_path, max_steps=10**15)
    training.add_callback(TrainerRecorder(tmp_path / "mine"))
    with pytest.raises(UserError, match="1,000,000,000,000,000 recorded updates need about"):
        training.train()
    assert training.state.global_step == 0


def test_what_the_model_does_not_say_is_asked_for(tmp_path):
    training = trainer(tmp_path)
    training.add_callback(TrainerRecorder(tmp_path / "mine", weight="head.weight"))
    with pytest.raises(UserError, match=r"none is called 'head\.weight'; .* transformer\.wte\."):
        training.train()
    assert not (tmp_path / "mine").exists()


def test_several_gpus_in_one_process_are_refused(tmp_path):
    recording = TrainerRecorder(tmp_path / "mine")
    arguments = type("Arguments", (), {"n_gpu": 2})
    with pytest.raises(UserError, match="over 2 GPUs within one process"):
        recording.on_train_begin(arguments, None, None)


DISTRIBUTED = """
import json, os, sys
import numpy as np
import torch
from gpt2 import LENGTH, tiny_gpt2
from processes import started
from spy import spying
from test_trainer_adapter import TrainerRecorder, trainer
torch.set_num_threads(1)
folder, rank = sys.argv[1], int(os.environ["RANK"])
training = trainer(folder, model=tiny_gpt2(dropout=0.0), ddp_backend="gloo", max_steps=5)
training.add_callback(TrainerRecorder(folder + "/mine", segment=2, on_failure="raise"))
met = torch.zeros(40, dtype=torch.int64)

def count(module, arguments):
    met.add_(torch.bincount(arguments[0].flatten(), minlength=40))

training.model.transformer.wte.register_forward_pre_hook(count)
with spying(training.model.lm_head.weight) as spy:
    training.train()
np.savez(f"{folder}/seen-{rank}.npz", met=met, **{name: spy[name] for name in spy.seen})
torch.distributed.destroy_process_group()
"""


def test_of_two_processes_the_first_writes_and_both_are_counted(tmp_path, free_port):
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in (0, 1)]
    processes = [started(DISTRIBUTED, tmp_path, **together, **rank) for rank in ranks]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    seen = [np.load(tmp_path / f"seen-{rank}.npz") for rank in (0, 1)]
    run = open_run(tmp_path / "mine")
    for name in TENSORS:
        assert np.array_equal(run[name], seen[0][name]), name
        assert np.array_equal(seen[1][name], seen[0][name]), name
    assert not np.array_equal(seen[0]["met"], seen[1]["met"])
    assert np.array_equal(run.sampled, seen[0]["met"] + seen[1]["met"])
    assert "loss" not in run
