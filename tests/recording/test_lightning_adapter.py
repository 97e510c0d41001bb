"""The recorder in trainings of the real Lightning."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gpt2 import LENGTH, LIVE, TOKENS, WIDTH, texts, tiny_gpt2
from processes import started
from spy import spying
from torch import nn

from deadtokens.errors import UserError
from deadtokens.trajectory.reader import open_run

pl = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from deadtokens.recording.lightning import LightningRecorder  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),  # advice on loaders
]
BATCH, ACCUMULATED, UPDATES = 2, 3, 8
TENSORS = ("W", "grad", "exp_avg", "exp_avg_sq")


class Ended(Exception):
    """A mistake in the user's own code."""


class Language(pl.LightningModule):
    """A language model of transformers, as one trains it with Lightning."""

    def __init__(
        self,
        fails_at: int | None = None,
        passes: int | None = None,
        sgd: bool = False,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.model, self.sgd = tiny_gpt2(dropout=dropout), sgd
        self.fails_at, self.passes, self.losses = fails_at, passes, []

    def training_step(self, given: dict, number: int) -> torch.Tensor | None:
        if number == self.fails_at:
            raise Ended
        loss = self.model(**given).loss
        self.losses.append(float(loss.detach()))
        return None if number == self.passes else loss

    def validation_step(self, given: dict, number: int) -> None:
        self.model(**given)

    def configure_optimizers(self):
        if self.sgd:
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 0.25, total_iters=4)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class Adversaries(pl.LightningModule):
    """Two optimizers, stepped by hand: one of them has the embedding."""

    automatic_optimization = False

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.places = nn.Embedding(TOKENS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.first = nn.Linear(WIDTH, TOKENS)
        self.second = nn.Linear(WIDTH, TOKENS)

    def training_step(self, given: dict, number: int) -> None:
        ids = given["input_ids"]
        for head, optimizer in zip((self.first, self.second), self.optimizers(), strict=True):
            hidden = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
            loss = nn.functional.cross_entropy(head(hidden).flatten(0, 1), ids.flatten())
            optimizer.zero_grad()
            self.manual_backward(loss)
            self.clip_gradients(optimizer, 0.1, "norm")
            optimizer.step()

    def configure_optimizers(self):
        first = torch.optim.AdamW([*self.first.parameters(), *self.places.parameters()], lr=0.1)
        second = torch.optim.AdamW([*self.second.parameters(), *self.tokens.parameters()], lr=0.01)
        return first, second


def batches(number: int) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(texts(number * BATCH), batch_size=BATCH)


def trainer(folder: Path, *callbacks, by=pl, **options):
    asked = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 1,
        "accumulate_grad_batches": ACCUMULATED,
        "gradient_clip_val": 0.1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return by.Trainer(default_root_dir=folder, callbacks=list(callbacks), **asked | options)


def fit(folder: Path, model, *callbacks, number: int = UPDATES * ACCUMULATED, **options):
    from_checkpoint = options.pop("ckpt_path", None)
    trainer(folder, *callbacks, **options).fit(model, batches(number), ckpt_path=from_checkpoint)
    return model


def assert_recorded(folder: Path, spy) -> None:
    run = open_run(folder)
    for name in spy.seen:
        assert np.array_equal(run[name], spy[name]), name
    assert run.lr.values == pytest.approx(spy.lr)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_three_lines_record_what_torch_s_own_update_is_given(tmp_path, precision):
    model = Language()
    recording = LightningRecorder(tmp_path / "mine", segment=3, forward=True, on_failure="raise")
    with spying(lambda: model.model.lm_head.weight) as spy:
        fit(tmp_path, model, recording, precision=precision)
    assert tuple(spy.seen) == TENSORS
    assert_recorded(tmp_path / "mine", spy)
    run = open_run(tmp_path / "mine")
    assert run.sizes["update"] == UPDATES
    assert run.lr.values[:5] == pytest.approx([0.0025, 0.004375, 0.00625, 0.008125, 0.01])
    low = precision == "bf16-true"
    assert run.W.attrs["recorded_dtype"] == ("bfloat16" if low else "float32")
    assert run.sampled.sum() == UPDATES * ACCUMULATED * BATCH * LENGTH
    assert (run.sampled[:LIVE] > 0).all()
    assert not run.sampled[LIVE:].any()
    losses = np.reshape(model.losses, (UPDATES, ACCUMULATED)).mean(1)
    assert run.loss.values == pytest.approx(losses, rel=0.01 if low else 1e-6)
    assert run.probability.sum("token").values == pytest.approx(np.ones(UPDATES), rel=1e-5)


def test_a_recorded_training_has_the_bits_of_one_that_is_not(tmp_path):
    recording = LightningRecorder(tmp_path / "mine", forward=True, on_failure="raise")
    models = [fit(tmp_path, Language(), *of) for of in ([], [recording])]
    pairs = zip(*(model.parameters() for model in models), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert open_run(tmp_path / "mine").sizes["update"] == UPDATES


def test_the_optimizer_that_has_the_weight_is_recorded(tmp_path):
    model = Adversaries()
    options = {"accumulate_grad_batches": 1, "gradient_clip_val": None}
    recording = LightningRecorder(tmp_path / "mine", weight="tokens.weight", on_failure="raise")
    with spying(model.tokens.weight) as spy:
        fit(tmp_path, model, recording, number=5, **options)
    assert_recorded(tmp_path / "mine", spy)
    run = open_run(tmp_path / "mine")
    assert run.lr.values == pytest.approx([0.01] * 5)
    assert run.sampled.sum() == 2 * 5 * BATCH * LENGTH  # each batch is read twice
    assert "loss" not in run


def test_nesterov_s_gradient_is_the_one_that_is_consumed(tmp_path):
    """Lightning's closure computes it within the step, which then adds the momentum in place."""
    model = Language(sgd=True)
    with spying(model.model.lm_head.weight, "sgd") as spy:
        fit(tmp_path, model, LightningRecorder(tmp_path / "mine", on_failure="raise"))
    assert_recorded(tmp_path / "mine", spy)


def test_a_batch_without_a_loss_makes_no_update(tmp_path):
    model = Language(passes=2)
    with spying(model.model.lm_head.weight) as spy:
        recording = LightningRecorder(tmp_path / "mine", on_failure="raise")
        fit(tmp_path, model, recording, number=5, accumulate_grad_batches=1)
    assert_recorded(tmp_path / "mine", spy)
    assert len(spy["grad"]) == 4


def test_an_evaluation_counts_no_tokens(tmp_path):
    recording = LightningRecorder(tmp_path / "mine", on_failure="raise")
    trainer(tmp_path, recording).fit(Language(), batches(6), batches(4))
    run = open_run(tmp_path / "mine")
    assert run.sampled.sum() == 6 * BATCH * LENGTH


def test_a_resumed_training_goes_on_in_its_record(tmp_path):
    """Its checkpoints hold no random numbers and no place in an epoch: neither is needed here."""

    lengths = {"number": 4 * ACCUMULATED, "enable_checkpointing": True}

    def saved_each_epoch(folder: str, **options) -> None:
        saving = pl.callbacks.ModelCheckpoint(tmp_path / folder, filename="{epoch}", save_top_k=-1)
        fit(tmp_path, Language(dropout=0.0), saving, recording(), **lengths, **options)

    def recording() -> LightningRecorder:
        return LightningRecorder(tmp_path / "mine", segment=3, on_failure="raise")

    whole = Language(dropout=0.0)
    with spying(whole.model.lm_head.weight) as spy:
        fit(tmp_path, whole, max_epochs=3, **lengths)
    saved_each_epoch("first", max_epochs=2)
    assert open_run(tmp_path / "mine").sizes["update"] == 8
    saved_each_epoch("then", max_epochs=3, ckpt_path=tmp_path / "first" / "epoch=0.ckpt")
    assert_recorded(tmp_path / "mine", spy)
    assert open_run(tmp_path / "mine").sizes["update"] == 12
    assert len(list((tmp_path / "mine" / "set-aside").iterdir())) == 2


def test_an_error_of_the_user_leaves_what_is_complete(tmp_path):
    model = Language(fails_at=3 * 7 + 1)
    with spying(model.model.lm_head.weight) as spy, pytest.raises(Ended):
        fit(tmp_path, model, LightningRecorder(tmp_path / "mine", segment=3))
    assert_recorded(tmp_path / "mine", spy)
    assert len(spy["grad"]) == 7


def test_a_record_for_which_there_is_no_room_is_refused_before_the_training(tmp_path):
    model = Language()
    with pytest.raises(UserError, match="1,000,000,000,000,000 recorded updates need about"):
        recording = LightningRecorder(tmp_path / "mine")
        fit(tmp_path, model, recording, max_epochs=-1, max_steps=10**15)
    assert model.losses == []


def test_what_the_model_does_not_say_is_asked_for(tmp_path):
    options = {"accumulate_grad_batches": 1, "gradient_clip_val": None}
    with pytest.raises(
        UserError, match=r"does not say which it is; .* tokens\.weight, places\.weight"
    ):
        fit(tmp_path, Adversaries(), LightningRecorder(tmp_path / "mine"), **options)
    with pytest.raises(UserError, match="forward: which module makes the logits is not to be"):
        recording = LightningRecorder(tmp_path / "mine", weight="tokens.weight", forward=True)
        fit(tmp_path, Adversaries(), recording, **options)
    assert not (tmp_path / "mine").exists()


OTHER_NAME = """
import sys
import torch
torch.set_num_threads(1)
import pytorch_lightning
from deadtokens.recording.lightning import LightningRecorder
assert "lightning" not in sys.modules
import torch.nn as nn

class Model(pytorch_lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.tokens, self.head = nn.Embedding(9, 4), nn.Linear(4, 9)

    def training_step(self, ids, number):
        logits = self.head(self.tokens(ids))
        return nn.functional.cross_entropy(logits, ids)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)

loader = torch.utils.data.DataLoader(torch.arange(8), batch_size=2)
recording = LightningRecorder(sys.argv[1] + "/mine", weight="tokens.weight", on_failure="raise")
pytorch_lightning.Trainer(
    accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, default_root_dir=sys.argv[1], callbacks=[recording],
).fit(Model(), loader)
"""


def test_the_library_by_its_other_name(tmp_path):
    process = started(OTHER_NAME, tmp_path)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    run = open_run(tmp_path / "mine")
    assert run.sampled.values.tolist() == [1] * 8 + [0]
    assert run.sizes["update"] == 4


DISTRIBUTED = """
import os, sys
import numpy as np
import torch
from spy import spying
from test_lightning_adapter import Language, LightningRecorder, batches, trainer
torch.set_num_threads(1)
folder, rank = sys.argv[1], int(os.environ["LOCAL_RANK"])
model = Language()
met = torch.zeros(40, dtype=torch.int64)

def count(module, arguments):
    met.add_(torch.bincount(arguments[0].flatten(), minlength=40))

model.model.transformer.wte.register_forward_pre_hook(count)
recording = LightningRecorder(folder + "/mine", segment=2, on_failure="raise")
with spying(model.model.lm_head.weight) as spy:
    trainer(folder, recording, devices=2, strategy="ddp").fit(model, batches(18))
np.savez(f"{folder}/seen-{rank}.npz", met=met, **{name: spy[name] for name in spy.seen})
"""


def test_of_two_processes_the_first_writes_and_both_are_counted(tmp_path, free_port):
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
    ranks = [{"NODE_RANK": "0", "LOCAL_RANK": str(rank)} for rank in (0, 1)]
    processes = [started(DISTRIBUTED, tmp_path, **together, **rank) for rank in ranks]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    seen = [np.load(tmp_path / f"seen-{rank}.npz") for rank in (0, 1)]
    run = open_run(tmp_path / "mine")
    assert run.sizes["update"] == 3
    for name in TENSORS:
        assert np.array_equal(run[name], seen[0][name]), name
        assert np.array_equal(seen[1][name], seen[0][name]), name
    assert not np.array_equal(seen[0]["met"], seen[1]["met"])
    assert np.array_equal(run.sampled, seen[0]["met"] + seen[1]["met"])
