"""What docs/mathematics.md names exists."""

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECTION = "## Backpropagation by hand"


def rows():
    text = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
    section = text.split(SECTION)[1].split("\n## ")[0]
    return re.findall(r"^\| (.+) \| `(backprop\.[\w.]+)` \| (.+) \|$", section, re.MULTILINE)


def test_every_formula_has_its_function_and_its_test():
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "backprop").glob("*.py"))
    assert len(rows()) == 17
    for _, name, named_tests in rows():
        module, function = f"deadtokens.{name}".rsplit(".", 1)
        assert callable(getattr(importlib.import_module(module), function))
        for test in re.findall(r"`(\w+)`", named_tests):
            assert f"def {test}(" in tests, test


def test_every_backward_step_is_documented():
    layers = importlib.import_module("deadtokens.backprop.layers")
    steps = {name for name in vars(layers) if name.endswith("_backward")}
    assert steps <= {name.rsplit(".", 1)[1] for _, name, _ in rows()}
