"""What a training says while it goes."""

import logging

import pytest
import torch

from deadtokens.training import products, progress
from deadtokens.training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(caplog, clock, seconds_an_update: float, updates: int, block: int = 1) -> list[str]:
    caplog.set_level(logging.INFO)
    tell = Progress("tale", 500, 500 + updates)
    for update in range(500 + block, 501 + updates, block):
        clock[0] += block * seconds_an_update
        tell(update, 4.25)
    return [record.message for record in caplog.records]


def test_the_time_of_a_slow_training_is_told_before_update_20(caplog, clock):
    early = lines(caplog, clock, seconds_an_update=0.5, updates=480)[0]
    assert early == (
        "train tale: update 510/980, 2.0 updates/s, loss 4.250, 3:55 left of the segment"
    )


def test_a_fast_training_speaks_early_every_five_seconds_and_at_its_end(caplog, clock):
    said = lines(caplog, clock, seconds_an_update=0.0625, updates=200)
    assert [line.split()[3].rstrip(",") for line in said] == [
        "510/700",
        "590/700",
        "670/700",
        "700/700",
    ]


def test_of_blocks_the_ends_are_told_the_first_behind_update_10_early(caplog, clock):
    said = lines(caplog, clock, seconds_an_update=0.0625, updates=200, block=8)
    assert [line.split()[3].rstrip(",") for line in said] == [
        "516/700",
        "596/700",
        "676/700",
        "700/700",
    ]
    assert "16.0 updates/s" in said[0]


@pytest.mark.parametrize(
    ("machine", "capability", "device", "told"),
    [
        ("x86_64", "DEFAULT", "cpu", True),
        ("x86_64", "AVX2", "cpu", False),
        ("x86_64", "DEFAULT", "cuda", False),
        ("arm64", "DEFAULT", "cpu", False),
    ],
)
def test_what_the_machine_lacks_is_told(machine, capability, device, told, monkeypatch):
    monkeypatch.setattr(products.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert bool(products.slow_because(torch.device(device))) == told
