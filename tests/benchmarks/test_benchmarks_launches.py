"""The count of what a captured update launches."""

import sys

import pytest
import torch
from histories import KINDS
from house import REPOSITORY
from tiny import tiny_spec

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import launches

from deadtokens.run.precision import REGIMES


def test_operations_that_compute_or_copy_are_counted_and_views_are_not():
    a = torch.ones(3, 4, device="meta")
    with launches.Operations() as operations:
        b = (a + 1)[1:].flatten()  # one
        torch._foreach_copy_(list(b.split(4)), list(torch.empty(8, device="meta").split(4)))  # one
        b.to(torch.bfloat16).to(torch.bfloat16)  # one
    assert operations.count == 3


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_update_launches_does_not_grow_with_the_layers(kind):
    shallow, deep = (launches.launches(tiny_spec(**KINDS[kind], layers=n)) for n in (1, 3))
    assert deep["update"] == shallow["update"] > 0
    assert deep["forward"] > shallow["forward"]
    assert deep["backward"] > shallow["backward"]


def test_a_rule_that_moves_parameters_one_by_one_would_be_seen(monkeypatch):
    one_by_one = lambda rule: [[name] for name in rule.named]  # noqa: E731
    monkeypatch.setattr(launches.UpdateRule, "moved_together", one_by_one)
    shallow, deep = (launches.launches(tiny_spec(layers=n)) for n in (1, 3))
    assert deep["update"] > 2 * shallow["update"]


def test_the_table_has_a_line_of_each_regime(capsys):
    launches.main(["--layers", "1"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == list(launches.PARTS)
    assert [line.split()[0] for line in lines] == list(REGIMES)
    forward, backward, update = map(int, lines[-1].split()[1:])
    assert 40 < forward < 80
    assert 30 < backward < 80
    assert 10 < update < 30
