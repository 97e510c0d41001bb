"""What the pages call by its place in the package, and the tests that they name, exist.

Nor is a half-done merge left in any text.
"""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "workflow" / "deadtokens"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md")])
OURS = {path.stem for path in PACKAGE.iterdir()}
FILES = ("nc", "csv", "json", "yaml", "py", "png", "pdf", "md", "html", "gif", "smk", "txt")
TESTS = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))


def names_on(page: Path) -> list[str]:
    """Return what has the form of a function, class or module of the package."""
    spans = re.findall(r"`([a-z]\w*(?:\.\w+)+)(?:\(\))?`", page.read_text(encoding="utf-8"))
    ours = (name for name in spans if name.split(".")[0] in OURS)
    return [name for name in ours if name.rsplit(".", 1)[1] not in FILES]


def exists(name: str) -> bool:
    """Return whether a dotted name is a module of the package or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(["deadtokens", *parts[:count]]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_is_there(page):
    assert [name for name in names_on(page) if not exists(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_is_there(page):
    named = re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))
    assert [test for test in named if f"def {test}(" not in TESTS] == []


def test_pages_name_many_and_a_wrong_one_would_be_seen():
    assert sum(len(names_on(page)) for page in PAGES) > 50
    assert exists("run.clipping.clip_scale")
    assert exists("trajectory.reader")
    assert not exists("training.clipping.clip_scale")
    assert not exists("attribution.bound.rounding_bound")


def test_no_merge_is_left_half_done():
    folders = ("workflow", "config", "docs", "tests", "benchmarks", "profiles", "envs")
    files = [*ROOT.glob("*.*"), *(path for name in folders for path in (ROOT / name).rglob("*.*"))]
    texts = [path for path in files if path.suffix in {".py", ".md", ".yaml", ".smk", ".typ"}]
    marked = re.compile(rb"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
    assert len(texts) > 400
    assert [path for path in texts if marked.search(path.read_bytes())] == []
    assert marked.search(b"a\n" + b"<" * 7 + b" HEAD\n")
