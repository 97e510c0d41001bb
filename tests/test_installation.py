"""What is installed: the package alone, which records, reads and analyses with what it asks for.

Built and installed as a user does it, but into a folder; the process that uses it finds no module
of a package that the installation would not have brought.
"""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from house import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import deadtokens

PACKAGE = REPOSITORY / "workflow" / "deadtokens"
OFFLINE = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]

ALONE = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        blocked = name.partition(".")[0] in {blocked!r}
        return None if blocked else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Without, sys.meta_path)
sys.path.insert(0, {target!r})
"""

RECORD = """
import json
import torch
from torch import nn

import deadtokens
from deadtokens import Recorder, measure_freezing, open_run, verify_results

torch.manual_seed(0)
embedding = nn.Embedding(12, 4)
unembedding = nn.Linear(4, 12, bias=False)
unembedding.weight = embedding.weight
optimizer = torch.optim.AdamW([embedding.weight], lr=0.01)
counts = [3] * 8 + [0] * 4
with Recorder(
    "mine", embedding.weight, optimizer, counts=counts, unembedding=unembedding, segment=4
) as recorder:
    for update in range(10):
        ids = torch.arange(8)
        optimizer.zero_grad()
        nn.functional.cross_entropy(unembedding(embedding(ids)), ids.roll(1)).backward()
        optimizer.step()
run = open_run("mine")
freezing = measure_freezing("mine")
print(json.dumps({
    "file": deadtokens.__file__,
    "version": deadtokens.__version__,
    "sizes": dict(run.sizes),
    "exact": bool((run.W[-1].values == embedding.weight.detach().numpy()).all()),
    "dead": int(run.dead.sum()),
    "frozen": freezing.frozen_fraction.sel(population="dead").values.tolist(),
    "damaged": len(verify_results("mine")),
}))
"""


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    words = [sys.executable, "-I", *arguments]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True)


def built(folder: Path, source: Path) -> Path:
    answer = python(
        "-m", "pip", "wheel", "--quiet", *OFFLINE, "--wheel-dir", ".", str(source), cwd=folder
    )
    assert answer.returncode == 0, answer.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built(tmp_path_factory.mktemp("wheel"), REPOSITORY)


@pytest.fixture(scope="module")
def target(wheel, tmp_path_factory):
    """Return a folder with the installed package, and nothing else."""
    folder = tmp_path_factory.mktemp("target")
    answer = python(
        "-m", "pip", "install", "--quiet", *OFFLINE, "--target", ".", str(wheel), cwd=folder
    )
    assert answer.returncode == 0, answer.stderr
    return folder


def brought(lines: list[str]) -> set[str]:
    """Return the packages that an installation of requirements brings here, those behind too."""
    found, waiting = set(), list(lines)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate()):
            found.add(name)
            waiting += requires_of(name)
    return found


def requires_of(name: str) -> list[str]:
    try:
        return [line for line in requires(name) or [] if "extra ==" not in line]
    except PackageNotFoundError:  # of another machine
        return []


def not_brought() -> set[str]:
    """Return the modules that an installation without extras does not bring."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    packages = brought(project["project"]["dependencies"])
    return {
        module
        for module, providers in packages_distributions().items()
        if not packages & {canonicalize_name(name) for name in providers}
    } - {"deadtokens", *sys.stdlib_module_names}


def alone(target: Path, code: str, folder: Path) -> subprocess.CompletedProcess:
    prefix = ALONE.format(blocked=not_brought(), target=str(target))
    return python("-W", "error", "-c", prefix + code, cwd=folder)


def test_the_wheel_has_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    files = {path for path in PACKAGE.rglob("*") if path.suffix == ".py" or path.name == "py.typed"}
    assert names == {path.relative_to(PACKAGE.parent).as_posix() for path in files}
    assert "deadtokens/py.typed" in names


def test_the_source_distribution_gives_the_same_wheel(wheel, tmp_path):
    answer = python("-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path), cwd=REPOSITORY)
    assert answer.returncode == 0, answer.stderr
    (source,) = tmp_path.glob("*.tar.gz")
    again = built(tmp_path, source)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
        assert all(one.read(name) == other.read(name) for name in one.namelist())


def test_without_extras_there_is_no_snakemake(wheel):
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith("/METADATA"))
        lines = opened.read(name).decode().splitlines()
    asked = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist")]
    base = {re.match(r"[\w-]+", line)[0] for line in asked if "extra ==" not in line}
    assert {"torch", "xarray"} <= base
    assert base & {"snakemake", "matplotlib", "seaborn", "typst", "tokenizers"} == set()
    assert f"Version: {deadtokens.__version__}" in lines
    assert "Requires-Python: >=3.11" in lines


def test_an_installation_brings_all_of_the_base_and_nothing_of_the_extras():
    blocked = not_brought()
    assert {"snakemake", "matplotlib", "seaborn", "typst", "PIL", "tokenizers"} <= blocked
    assert blocked & {"torch", "numpy", "xarray", "h5py", "llvmlite", "pandas"} == set()


def test_what_is_installed_records_reads_and_analyses(target, tmp_path):
    answer = alone(target, RECORD, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    said = json.loads(answer.stdout)
    assert Path(said["file"]).is_relative_to(target)
    assert said["version"] == deadtokens.__version__
    assert said["sizes"] == {"token": 12, "component": 4, "state": 11, "update": 10}
    assert said["exact"]
    assert said["dead"] == 4
    assert said["frozen"] == [0.0] * 10
    assert said["damaged"] == 0
    segments = sorted(path.name for path in (tmp_path / "mine").glob("segment-*.nc"))
    assert segments == ["segment-000.nc", "segment-001.nc", "segment-002.nc"]


COMMAND = """
sys.argv = ["deadtokens", *{words!r}]
from deadtokens.cli import deadtokens
deadtokens()
"""


@pytest.mark.parametrize(
    ("command", "sentence", "extra"),
    [
        (["figure", "frozen", "a.nc", "--output", "a.png"], "figures need matplotlib", "figures"),
        (["census"], "the workflow needs tokenizers", "workflow"),
        (["paper"], "the paper needs PIL", "paper"),
    ],
)
def test_a_command_of_an_extra_says_in_one_sentence_what_to_install(
    command, sentence, extra, target, tmp_path
):
    answer = alone(target, COMMAND.format(words=command), tmp_path)
    assert answer.stderr == (
        f"deadtokens: {sentence}, which is not installed: pip install 'deadtokens[{extra}]'\n"
    )
    assert answer.returncode == 1
