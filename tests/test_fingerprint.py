"""What changes a fingerprint: the code that runs behind a module, and nothing else."""

import shutil
from pathlib import Path

import pytest

from deadtokens.fingerprint import fingerprint, modules_behind

FILES = {
    "pack/__init__.py": "from pack.inner.a import answer\n",
    "pack/inner/__init__.py": "",
    "pack/inner/a.py": (
        "from typing import TYPE_CHECKING\n"
        "from pack.inner import b\n"
        "if TYPE_CHECKING:\n"
        "    from pack.inner.c import Kind\n"
        "def answer():\n"
        '    """Say it."""\n'
        "    return b.NUMBER\n"
    ),
    "pack/inner/b.py": "NUMBER = 42\n",
    "pack/inner/c.py": "class Kind: ...\n",
}


@pytest.fixture
def root(tmp_path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "root"


def edited(root: Path, name: str, text: str) -> str:
    """Return the fingerprint of `a` in a copy in which a file has another text."""
    copy = root.with_name("copy")
    shutil.copytree(root, copy)
    (copy / name).write_text(text)
    return fingerprint("pack.inner.a", copy)


def test_what_runs_behind_a_module_is_found(root):
    assert modules_behind("pack.inner.a", root) == {"pack.inner", "pack.inner.a", "pack.inner.b"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pack/inner/b.py", "NUMBER = 43\n"),
        ("pack/inner/__init__.py", "NUMBER = 1\n"),
        ("pack/inner/a.py", FILES["pack/inner/a.py"].replace("b.NUMBER", "-b.NUMBER")),
    ],
)
def test_an_edit_of_the_code_changes_it(root, name, text):
    assert edited(root, name, text) != fingerprint("pack.inner.a", root)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pack/__init__.py", "from pack.inner.a import answer\nNEW = 1\n"),
        ("pack/inner/c.py", "class Kind: value = 1\n"),
        ("pack/inner/b.py", "# what it is\nNUMBER = (42)\n"),
        ("pack/inner/a.py", FILES["pack/inner/a.py"].replace("import Kind", "import Other")),
        ("pack/inner/a.py", FILES["pack/inner/a.py"].replace("Say it", "Say so")),
    ],
)
def test_what_does_not_run_changes_nothing(root, name, text):
    assert edited(root, name, text) == fingerprint("pack.inner.a", root)


def test_a_module_that_is_not_there_is_said_so(root):
    with pytest.raises(FileNotFoundError, match=r"no module pack\.inner\.d"):
        fingerprint("pack.inner.d", root)
