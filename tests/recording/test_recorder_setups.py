"""The recorder in trainings that are spread over processes, compiled, or made of other parts."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import LIVE, TOKENS, WIDTH, Model, batch, train
from processes import started
from spy import spying
from torch import Tensor, nn
from torch.optim import Optimizer

from deadtokens.errors import UserError
from deadtokens.recording.attach import parts_of, stepping, unwrapped
from deadtokens.recording.recorder import Recorder
from deadtokens.trajectory.reader import open_run


class Untied(Model):
    """Embedding and unembedding are two matrices."""

    def __init__(self):
        super().__init__()
        self.unembedding.weight = nn.Parameter(self.unembedding.weight.detach().clone())


@pytest.mark.parametrize("side", ["embedding", "unembedding"])
def test_untied_by_foreach_in_groups_of_their_own(tmp_path, side):
    model = Untied()
    weight = getattr(model, side).weight
    groups = [
        {"params": model.embedding.parameters(), "lr": 0.1},
        {"params": model.inner.parameters()},
        {"params": model.unembedding.parameters(), "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1, foreach=True)
    folder = tmp_path / "mine"
    with (
        spying(weight) as spy,
        Recorder(folder, weight, optimizer, embedding=model.embedding, on_failure="raise"),
    ):
        train(model, optimizer, range(6))
    run = open_run(folder)
    for name in ("W", "grad", "exp_avg", "exp_avg_sq"):
        assert np.array_equal(run[name], spy[name]), name
    assert run.lr.values == pytest.approx([0.1 if side == "embedding" else 0.01] * 6)
    assert run.weight_decay.values == pytest.approx([0.1 if side == "embedding" else 0.0] * 6)
    # A dead row of an embedding has no gradient; one of an unembedding is pushed away.
    assert bool(run.grad[:, LIVE:].any()) == (side == "unembedding")
    assert not run.sampled[LIVE:].any()


def compiled_training(model: Model, backend: str, updates: range) -> Iterator[Optimizer]:
    """Yield the optimizer before each update."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    whole = torch.compile(model, backend=backend, fullgraph=True)
    for update in updates:
        yield optimizer
        inputs, labels = batch(update)
        optimizer.zero_grad()
        nn.functional.cross_entropy(whole(inputs).flatten(0, 1), labels.flatten()).backward()
        optimizer.step()


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_is_counted_and_keeps_its_bits(tmp_path, backend):
    weights = []
    for record in (True, False):
        torch.compiler.reset()
        model = Model()
        steps = compiled_training(model, backend, range(5))
        if record:
            watched = {"embedding": model.embedding, "unembedding": model.unembedding}
            options = watched | {"on_failure": "raise"}
            with (
                spying(model.embedding.weight) as spy,
                Recorder(tmp_path / "mine", model.embedding.weight, next(steps), **options),
            ):
                list(steps)
        else:
            list(steps)
        weights.append(list(model.parameters()))
    assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))
    run = open_run(tmp_path / "mine")
    assert np.array_equal(run.W, spy["W"])
    assert np.array_equal(run.grad, spy["grad"])
    ids = torch.stack([batch(update)[0] for update in range(5)])
    assert np.array_equal(run.sampled, np.bincount(ids.flatten(), minlength=TOKENS))
    assert run.probability.sum("token").values == pytest.approx(np.ones(5), rel=1e-5)


@pytest.mark.usefixtures("compiler")
def test_modules_that_were_compiled_before_are_not_heard_and_that_is_refused(tmp_path):
    model = Model()
    steps = compiled_training(model, "eager", range(5))
    optimizer = next(steps)
    next(steps)
    weight = model.embedding.weight
    with (
        Recorder(tmp_path / "mine", weight, optimizer, embedding=model.embedding),
        pytest.raises(UserError, match="has read no tokens; give"),
    ):
        list(steps)


class ByName(Model):
    """Calls its embedding and its unembedding by the names of their arguments."""

    def __init__(self):
        super().__init__()
        self.unembedding = Scaled(self.unembedding.weight)

    def forward(self, ids: Tensor) -> Tensor:
        hidden = torch.tanh(self.inner(self.embedding(input=ids)))
        return self.unembedding(scale=1.0, hidden=hidden)


class Scaled(nn.Module):
    def __init__(self, weight: nn.Parameter):
        super().__init__()
        self.weight = weight

    def forward(self, hidden: Tensor, scale: float) -> Tensor:
        return scale * hidden @ self.weight.T


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("compiled", [False, True])
def test_modules_that_are_called_by_name_are_heard(tmp_path, compiled):
    runs = []
    for kind in (Model, ByName):
        model = kind()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        watched = {"embedding": model.embedding, "unembedding": model.unembedding}
        with Recorder(tmp_path / kind.__name__, model.embedding.weight, optimizer, **watched):
            if compiled:
                model.compile(backend="eager", fullgraph=True)
            seen = train(model, optimizer, range(4))
        runs.append(open_run(tmp_path / kind.__name__).load())
        assert np.array_equal(runs[-1].W, seen.W)
    assert runs[0].sampled.any()
    for name in ("sampled", "h_mean", "probability", "entropy"):
        assert np.array_equal(runs[0][name], runs[1][name]), name


@pytest.mark.usefixtures("compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("before", [0, 2])
def test_a_compiled_step_is_recorded_as_any_other(tmp_path, before):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    compiled = torch.compile(optimizer.step, backend="eager")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizer, "step", lambda: compiled())
        train(model, optimizer, range(before))
        with Recorder(tmp_path / "mine", model.embedding.weight, optimizer, segment=4) as recording:
            seen = train(model, optimizer, range(before, before + 6))
    assert recording.failure is None
    run = open_run(tmp_path / "mine")
    assert run["update"].values.tolist() == list(range(1, 7))
    assert np.array_equal(run.W, seen.W)
    assert np.array_equal(run.grad, seen.grad)
    assert np.array_equal(run.exp_avg[-1], optimizer.state[model.embedding.weight]["exp_avg"])


class Odd(Model):
    """Its unembedding gives a pair from some update on."""

    def __init__(self):
        super().__init__()
        self.unembedding = Pairing(self.unembedding.weight)
        self.unembedding.odd = True

    def forward(self, ids: Tensor) -> Tensor:
        made = self.unembedding(torch.tanh(self.inner(self.embedding(ids))))
        return made[0] if self.unembedding.odd else made


class Pairing(nn.Module):
    def __init__(self, weight: nn.Parameter):
        super().__init__()
        self.weight = weight

    def forward(self, hidden: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits = hidden @ self.weight.T
        return (logits, hidden) if self.odd else logits


def odd_training(folder: Path) -> tuple[Odd, Optimizer, Recorder]:
    model = Odd()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    weight = model.embedding.weight
    return model, optimizer, Recorder(folder, weight, optimizer, unembedding=model.unembedding)


def test_a_hook_that_fails_ends_the_record_and_not_the_training(tmp_path):
    model, optimizer, recording = odd_training(tmp_path / "mine")
    model.unembedding.odd = False
    with recording:
        seen = train(model, optimizer, range(2))
        model.unembedding.odd = True
        with pytest.warns(UserWarning, match="the record ends here, the training goes on"):
            train(model, optimizer, range(2, 4))
    assert isinstance(recording.failure, UserError)
    assert np.array_equal(open_run(tmp_path / "mine").W, seen.W)


def test_a_hook_that_fails_from_the_first_batch_on_ends_the_training(tmp_path):
    model, optimizer, recording = odd_training(tmp_path / "mine")
    before = model.embedding.weight.detach().clone()
    with recording, pytest.raises(UserError):
        train(model, optimizer, range(2))
    assert torch.equal(model.embedding.weight, before)


DISTRIBUTED = """
import os, sys
import numpy as np
import torch
from copy import deepcopy
from foreign import Model, loss_of
from torch.nn.parallel import DistributedDataParallel
from deadtokens.recording.attach import unwrapped
from deadtokens.recording.recorder import Recorder
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
folder, rank = sys.argv[1], torch.distributed.get_rank()
model = Model()
spread = DistributedDataParallel(model)
assert unwrapped(torch.compile(spread, backend='eager')) is model
optimizer = torch.optim.AdamW(spread.parameters(), lr=0.01)
weight = unwrapped(spread).embedding.weight
recording = Recorder(f"{folder}/mine", weight, optimizer, segment=4) if rank == 0 else None
own = []
for update in range(6):
    optimizer.zero_grad()
    alone = deepcopy(model)
    loss_of(alone, 2 * update + rank).backward()
    own.append(alone.embedding.weight.grad.numpy().copy())
    loss_of(spread, 2 * update + rank).backward()
    optimizer.step()
if recording is not None:
    recording.close()
np.save(f"{folder}/own-{rank}.npy", own)
torch.distributed.destroy_process_group()
"""


def test_of_two_processes_the_first_records_the_mean_of_their_gradients(tmp_path, free_port):
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
    processes = [started(DISTRIBUTED, tmp_path, RANK=str(rank), **together) for rank in (0, 1)]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    own = [np.load(tmp_path / f"own-{rank}.npy") for rank in (0, 1)]
    run = open_run(tmp_path / "mine")
    assert run.sizes["update"] == 6
    assert np.array_equal(run.grad, own[0] / 2 + own[1] / 2)
    assert not np.array_equal(run.grad, own[0])


SHARDED = """
import sys
import pytest
import torch
from foreign import Model
from torch.distributed.fsdp import fully_shard
from deadtokens.errors import UserError
from deadtokens.recording.recorder import Recorder
torch.distributed.init_process_group("gloo", rank=0, world_size=1)
model = fully_shard(Model(), mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
with pytest.raises(UserError, match="weight: is cut to pieces, one a process"):
    Recorder(sys.argv[1] + "/mine", model.embedding.weight, optimizer)
torch.distributed.destroy_process_group()
"""


def test_a_weight_in_pieces_is_refused(tmp_path, free_port):
    process = started(SHARDED, tmp_path, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port))
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert not (tmp_path / "mine").exists()


def test_the_parts_of_a_model_are_found_through_what_wraps_it():
    model = Untied()
    whole = torch.compile(nn.DataParallel(model), backend="eager")
    assert unwrapped(whole) is model
    found = parts_of(whole, "unembedding.weight")
    assert found.weight is model.unembedding.weight
    assert found.embedding is model.embedding
    assert found.unembedding is model.unembedding
    tied = parts_of(Model(), lambda one: one.embedding.weight)
    assert (len(tied.weight), tied.embedding.embedding_dim) == (TOKENS, WIDTH)
    assert tied.unembedding.weight is tied.weight
    with pytest.raises(UserError, match=r"does not say .* embedding\.weight, inner\.weight, un"):
        parts_of(model)


class Wrapper(torch.optim.Optimizer):
    """As Accelerate and Lightning wrap one: it has no groups and no hooks itself."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    @property
    def param_groups(self):
        return self.optimizer.param_groups


class Lookahead(torch.optim.SGD):
    """Steps another optimizer, and is one: its steps are those to record."""

    def __init__(self, optimizer):
        super().__init__(optimizer.param_groups[0]["params"])
        self.optimizer = optimizer


def test_of_several_optimizers_the_one_that_moves_the_weight_is_found():
    model = Untied()
    first = torch.optim.SGD(model.inner.parameters())
    second = torch.optim.SGD([*model.embedding.parameters(), *model.unembedding.parameters()])
    assert stepping([Wrapper(first), Wrapper(Wrapper(second))], model.embedding.weight) is second
    outer = Lookahead(second)
    assert stepping([first, Wrapper(outer)], model.embedding.weight) is outer
    assert stepping([first], model.embedding.weight) is first  # for a recorder to refuse
    with pytest.raises(UserError, match="the training has no optimizer"):
        stepping([], model.embedding.weight)


ABSENT = """
import sys
import pytest
import deadtokens.recording.recorder
from deadtokens.errors import UserError
assert not {"transformers", "lightning", "pytorch_lightning", "accelerate"} & set(sys.modules)
sys.modules |= dict.fromkeys(["transformers", "lightning", "pytorch_lightning"])
with pytest.raises(UserError, match="^adapters need transformers, which is not"):
    import deadtokens.recording.trainer
with pytest.raises(UserError, match="^adapters need lightning, which is not"):
    import deadtokens.recording.lightning
"""


def test_a_library_that_is_not_there_is_asked_for_in_a_sentence():
    process = started(ABSENT)
    said, _ = process.communicate()
    assert process.returncode == 0, said
