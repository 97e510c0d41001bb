"""What changes a fingerprint: the code that runs behind a module, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deadtokens.fingerprint import ROOT, fingerprint, modules_behind

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
    "pack/inner/nested.py": (
        '"""What it is."""\n'
        "class A:\n"
        '    """What it is."""\n'
        "    async def first(self, k=lambda: [x for x in ()]):\n"
        "        if TYPE_CHECKING:\n"
        "            import pack.inner.a\n"
        "        try:\n"
        "            return k\n"
        "        except ValueError:\n"
        "            import pack.inner.c\n"
        "        match k:\n"
        "            case [1, *_] if k:\n"
        "                async with k as pack:\n"
        "                    from pack.inner.b import NUMBER\n"
    ),
}


IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from deadtokens.fingerprint import fingerprint
print(fingerprint(sys.argv[2], Path(sys.argv[3])))
"""


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


def test_imports_are_found_wherever_they_stand(root):
    found = modules_behind("pack.inner.nested", root)
    assert found == {"pack.inner", "pack.inner.b", "pack.inner.c", "pack.inner.nested"}


@pytest.mark.parametrize(
    ("module", "value"), [("pack.inner.a", "9e5c68641c61"), ("pack.inner.nested", "6cc270b8aebc")]
)
def test_it_is_what_it_always_was(module, value, root):
    """Another value for the same code would make every result anew."""
    assert fingerprint(module, root) == value


def test_a_process_reads_a_file_once(root):
    """What it runs is what it imported, too."""
    module = "pack.inner.a"
    before = fingerprint(module, root)
    (root / "pack/inner/b.py").write_text("NUMBER = 43\n")
    assert fingerprint(module, root) == before
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(ROOT), module, str(root)]
    later = subprocess.run(command, text=True, capture_output=True, check=True).stdout.strip()
    assert later == edited(root, "pack/inner/b.py", "NUMBER = 43\n") != before


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
