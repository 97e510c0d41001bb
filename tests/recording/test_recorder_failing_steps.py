"""Steps of the optimizer that come to nothing, or call another one, against the loop's copies."""

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import Model, Seen, loss_of, train

from deadtokens.recording.recorder import Recorder
from deadtokens.trajectory.reader import open_run

OPTIMIZERS = {
    "AdamW": lambda of: torch.optim.AdamW(of, lr=0.01),
    "AdamW fused": lambda of: torch.optim.AdamW(of, lr=0.01, fused=True),
    "SGD": lambda of: torch.optim.SGD(of, lr=0.1, momentum=0.9, nesterov=True),
}


def new(kind: str = "AdamW") -> tuple[Model, torch.optim.Optimizer]:
    model = Model()
    return model, OPTIMIZERS[kind](model.parameters())


def recorder(folder: Path, model: Model, optimizer, **options) -> Recorder:
    return Recorder(folder, model.embedding.weight, optimizer, **{"segment": 4} | options)


def failing(optimizer, calls: Collection[int], change: Callable[[], None] = lambda: None) -> None:
    """Let some of the optimizer's steps fail before they have moved anything."""
    made = iter(range(10_000))

    def fail(*_) -> None:
        if next(made) in calls:
            change()
            raise MemoryError

    optimizer.register_step_pre_hook(fail)


def surviving(model: Model, optimizer, steps: int, again: bool = False) -> Seen:
    """Train through failing steps: leave their batches out, or step again; return what was made."""
    weight, seen = model.embedding.weight, Seen()
    seen.W.append(weight.detach().numpy().copy())
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        grad = weight.grad.numpy().copy()
        try:
            optimizer.step()
        except MemoryError:
            if not again:
                continue
            optimizer.step()
        seen.grad.append(grad)
        seen.W.append(weight.detach().numpy().copy())
    return seen


def is_as_seen(folder: Path, seen: Seen, taken: list[int]) -> bool:
    run = open_run(folder)
    return (
        run["update"].values.tolist() == taken
        and run["state"].values.tolist() == [0, *taken]
        and np.array_equal(run.W, np.array(seen.W)[[0, *taken]])
        and np.array_equal(run.grad, np.array(seen.grad)[np.array(taken) - 1])
    )


FAILING = [[0], [3], [4], [3, 4], [7, 8, 9], [11]]  # of 12 steps, in segments of 4 updates


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("calls", FAILING)
def test_a_step_that_an_exception_ends_is_no_update(tmp_path, kind, calls):
    model, optimizer = new(kind)
    with recorder(tmp_path / "mine", model, optimizer) as recording:
        failing(optimizer, calls)
        seen = surviving(model, optimizer, 12)
    assert recording.failure is None
    assert len(seen.grad) == 12 - len(calls)
    assert is_as_seen(tmp_path / "mine", seen, list(range(1, len(seen.W))))
    assert not (tmp_path / "mine-2").exists()


@pytest.mark.parametrize("calls", FAILING)
def test_a_schedule_counts_the_updates_that_were_made(tmp_path, calls):
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer, every={0: 1, 4: 3}):
        failing(optimizer, calls)
        seen = surviving(model, optimizer, 12)
    taken = [update for update in (1, 2, 3, 4, 7, 10) if update < len(seen.W)]
    assert is_as_seen(tmp_path / "mine", seen, taken)


@pytest.mark.parametrize("at", [62, 63, 64, 127, 128])
def test_a_gradient_that_is_compressed_already_gives_way_to_the_next(tmp_path, at):
    """A block takes 64 updates: the last of them hands it over."""
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer, segment=512):
        failing(optimizer, [at])
        seen = surviving(model, optimizer, 140)
    assert is_as_seen(tmp_path / "mine", seen, list(range(1, 140)))


def test_a_step_that_is_tried_again_has_its_loss_and_its_means(tmp_path):
    runs = []
    for calls in ([], [0], [2], [3, 7]):
        model, optimizer = new()
        folder = tmp_path / f"{len(runs)}"
        with recorder(folder, model, optimizer, unembedding=model.unembedding) as recording:
            model.register_forward_hook(lambda *_, to=recording: to.loss(0.5))
            # The second try is a call of its own.
            failing(optimizer, [call + tried for tried, call in enumerate(calls)])
            seen = surviving(model, optimizer, 10, again=True)
        assert is_as_seen(folder, seen, list(range(1, 11)))
        runs.append(open_run(folder).load())
    assert runs[0].loss.values.tolist() == [0.5] * 10
    for run in runs[1:]:
        for name in ("loss", "h_mean", "probability", "entropy", "sampled"):
            assert np.array_equal(run[name], runs[0][name]), name


@pytest.mark.parametrize("tensor", ["W", "exp_avg", "exp_avg_sq"])
def test_a_step_that_fails_half_done_is_noticed_and_a_folder_beside_begins_behind_it(
    tmp_path, tensor
):
    model, optimizer = new()
    weight, left = model.embedding.weight, []

    def change() -> None:
        with torch.no_grad():
            changed = (optimizer.state[weight] | {"W": weight})[tensor]
            changed[3] += 0.25
            left.append(changed.numpy().copy())

    with recorder(tmp_path / "mine", model, optimizer) as recording:
        failing(optimizer, [6], change)
        first = surviving(model, optimizer, 7)
        with pytest.warns(UserWarning, match="the record goes on in .*mine-2"):
            second = surviving(model, optimizer, 5)
    assert recording.failure is None
    assert np.array_equal(open_run(tmp_path / "mine").W, first.W)
    assert is_as_seen(tmp_path / "mine-2", second, list(range(1, 6)))
    assert np.array_equal(open_run(tmp_path / "mine-2")[tensor][0], left[0])
    assert open_run(tmp_path / "mine-2").attrs["updates_before"] == 6


def test_a_first_step_that_fails_half_done_leaves_the_beginning_to_the_next(tmp_path):
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer) as recording:
        failing(optimizer, [0], lambda: torch.nn.init.ones_(model.embedding.weight))
        surviving(model, optimizer, 1)
        seen = surviving(model, optimizer, 5)
    assert recording.failure is None
    assert is_as_seen(tmp_path / "mine", seen, list(range(1, 6)))
    assert (seen.W[0] == 1).all()


class Clamping(torch.optim.AdamW):
    """Calls its base's step in its own, and changes what that consumes and leaves."""

    def step(self, closure=None):
        for group in self.param_groups:
            for one in group["params"]:
                one.grad.clamp_(-0.01, 0.01)
        loss = super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for one in group["params"]:
                    one.clamp_(-0.5, 0.5)
        return loss


@pytest.mark.parametrize("calls", [[], [5]])
@pytest.mark.parametrize("plain_first", [False, True])
def test_a_step_that_calls_its_base_s_is_one(tmp_path, plain_first, calls, monkeypatch):
    """Once an optimizer of the base was made, torch calls the hooks around both."""
    if plain_first:
        torch.optim.AdamW(Model().parameters())
    else:
        step = torch.optim.AdamW.step
        bare = step.__wrapped__ if hasattr(step, "hooked") else step
        monkeypatch.setattr(torch.optim.AdamW, "step", bare)
    model = Model()
    optimizer = Clamping(model.parameters(), lr=0.01)
    with recorder(tmp_path / "mine", model, optimizer) as recording:
        failing(optimizer, [call * (1 + plain_first) for call in calls])
        seen = surviving(model, optimizer, 10)
    assert recording.failure is None
    assert is_as_seen(tmp_path / "mine", seen, list(range(1, 11 - len(calls))))
    assert abs(np.array(seen.W[1:])).max() == 0.5
    assert int(optimizer.state[model.embedding.weight]["step"]) == 10 - len(calls)


def test_a_step_within_another_optimizer_s_is_one_of_its_own(tmp_path):
    """What wraps an optimizer may be one, with other hooks."""

    class Outer(torch.optim.Optimizer):
        def __init__(self, inner):
            super().__init__(inner.param_groups, {})
            self.inner = inner

        def step(self, closure=None):
            return self.inner.step(closure)

    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer):
        seen = train(model, Outer(optimizer), range(5))
    assert np.array_equal(open_run(tmp_path / "mine").W, seen.W)
