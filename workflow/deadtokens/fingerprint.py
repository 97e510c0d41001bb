"""What the code behind a result is, so that an edit reruns what it changes and nothing else."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


def fingerprint(module: str, root: Path = ROOT) -> str:
    """Return 12 hexadecimal digits that change with the code of a module or of what it imports.

    All project modules that `module` imports, directly or not, are covered. Comments, docstrings,
    formatting and what only type checkers see do not count, nor does the ``__init__`` of the
    outermost package: it hands out what users import, and no module of the package goes through it.

    A process reads each file once: what is edited later counts for processes that start later, as
    with imports.

    Parameters
    ----------
    module : str
        Dotted name, such as ``deadtokens.freezing.freezing``.
    root : Path
        Folder of the package.

    Raises
    ------
    FileNotFoundError
        If there is no such module below `root`.
    """
    digest = hashlib.sha256()
    for name in sorted(modules_behind(module, root)):
        digest.update(f"{name}\n{_read(_file_of(name, root)).code}\n".encode())
    return digest.hexdigest()[:12]


def modules_behind(module: str, root: Path = ROOT) -> set[str]:
    """Return the module and all project modules that it imports, directly or not."""
    if _file_of(module, root) is None:
        raise FileNotFoundError(f"there is no module {module} below {root}")
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imports(name, root))
    return found


@cache
def _imports(module: str, root: Path) -> frozenset[str]:
    """Return the project modules that importing `module` runs: its packages, what it names."""
    names = _read(_file_of(module, root)).names
    named = {name for name in names if "." in name and _file_of(name, root) is not None}
    return frozenset({*_packages_of(module), *named})


def _packages_of(module: str) -> Iterator[str]:
    """Yield the packages that a module lies in, but for the outermost."""
    parts = module.split(".")
    yield from (".".join(parts[:length]) for length in range(2, len(parts)))


@cache
def _file_of(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


class _Source(NamedTuple):
    """What counts of a file.

    Attributes
    ----------
    code : str
        In one normal form; unlike a dump of the tree it is no Python version's.
    names : set of str
        What is imported, and what may be a module or part of one.
    """

    code: str
    names: set[str]


@cache
def _read(file: Path) -> _Source:
    """Return what counts of a file; the tree would burden every later garbage collection."""
    tree = ast.parse(file.read_bytes())
    names = set()
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if _counts(part)] or [ast.Pass()]
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return _Source(ast.unparse(tree), names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and then what is below it, but for expressions: no statement is in them."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):
            yield from _statements(child)


def _counts(node: ast.stmt) -> bool:
    return not _is_docstring(node) and not _is_for_type_checkers(node)


def _is_for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
