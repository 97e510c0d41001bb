"""What the package says of itself is so."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions

from house import REPOSITORY

PACKAGE = REPOSITORY / "workflow" / "deadtokens"


def imported() -> set[str]:
    """Return the names of the foreign packages that the package imports."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"deadtokens"}


def test_it_depends_on_what_it_imports():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    providers = packages_distributions()
    assert {providers[name][0].lower() for name in imported()} == set(project["dependencies"])


def test_every_folder_is_a_map_of_its_modules():
    for folder in (path for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()):
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_bytes()))
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        if folder.name != "figures":  # a module a figure, and `draw` lists them
            assert {name for name in modules if f"`{name}" not in text} == set(), folder.name
