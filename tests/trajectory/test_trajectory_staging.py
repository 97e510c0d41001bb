"""Staging: the same bits from the GPU's path as from the CPU's, and the order of its waits."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from planted import planted

from deadtokens.trajectory.staging import CudaStaging, HostStaging, stage


class Calls(list):
    """Stands in for streams and events, and remembers what was asked of them."""

    def event(self):
        log = self

        class Event:
            name = f"event {len([call for call in log if call == 'new event'])}"

            def record(self):
                log.append(f"record {self.name}")

            def synchronize(self):
                log.append(f"synchronize {self.name}")

        log.append("new event")
        return Event()

    def stream(self, name):
        log = self

        class Stream:
            def wait_event(self, event):
                log.append(f"{name} waits for {event.name}")

            def wait_stream(self, other):
                log.append(f"{name} waits for training")

        return Stream()


@pytest.fixture
def calls(monkeypatch):
    """Let the GPU's staging run on the CPU."""
    log = Calls()
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **k: empty(*a, **k))
    monkeypatch.setattr(torch.cuda, "Event", log.event)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: log.stream("copy"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: log.stream("training"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    return log


def test_both_paths_give_the_same_blocks(calls):
    W = planted(5, 7, 3)["W"]
    host, cuda = HostStaging(3, W[0]), CudaStaging(3, W[0])
    for staging in (host, cuda):
        for step in range(3):
            staging.put(0, step, W[step])
        for step in range(2):
            staging.put(1, step, W[3 + step])
        staging.clear_from(1, 2)
    for slot in (0, 1):
        (one, _), (other, _) = host.take(slot), cuda.take(slot)
        assert one.shape == other.shape == (7, 3, 3)
        assert one.dtype == other.dtype == np.uint16
        assert (one == other).all()
    expected = W[:3].view(torch.int16).numpy().view(np.uint16).transpose(1, 2, 0)
    assert (host.take(0)[0] == expected).all()
    assert (host.take(1)[0][:, :, 2] == 0).all()


def test_training_waits_only_before_it_overwrites_a_block(calls):
    tensor = torch.zeros(2, 2)
    staging = CudaStaging(2, tensor)
    calls.clear()
    staging.put(0, 0, tensor)
    staging.put(0, 1, tensor)
    assert calls == ["training waits for event 0"]
    _, arrive = staging.take(0)
    staging.put(1, 0, tensor)
    assert calls[1:] == ["copy waits for training", "record event 0", "training waits for event 1"]
    arrive()
    assert calls[-1] == "synchronize event 0"


def test_the_device_chooses_the_path():
    assert type(stage(2, torch.zeros(1, 1))) is HostStaging


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_real_gpu_gives_the_same_blocks():
    W = planted(40, 300, 16)["W"]
    staging = stage(20, W[0].cuda())
    for slot in (0, 1):
        for step in range(20):
            staging.put(slot, step, W[20 * slot + step].cuda())
    for slot in (0, 1):
        block, arrive = staging.take(slot)
        arrive()
        expected = W[20 * slot : 20 * slot + 20].view(torch.int16).numpy().view(np.uint16)
        assert (block == expected.transpose(1, 2, 0)).all()
