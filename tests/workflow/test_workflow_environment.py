"""Jobs run this checkout's code and nothing else's, whatever surrounds them."""

import copy
import errno
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from house import REPOSITORY, TINY, build_house
from users import ANNA, GROUP, hand_over, only_root

from deadtokens import cli
from deadtokens.commit import git_commit
from deadtokens.environment import prefix_of_jobs
from deadtokens.errors import UserError

HOSTILE = "a 'b\" {c} {{d}} $HOME `e` [f]*? %s; #:ก\\\n-"

PROBE = """
import json, sys, token
def deadtokens():
    print(json.dumps({
        "arguments": sys.argv[1:], "token": token.__file__, "package": __file__,
        "optimize": sys.flags.optimize, "warnings": sys.warnoptions, "path": sys.path,
        "customized": hasattr(sys, "customized"),
    }))
"""


def package_in(folder: Path, code: str) -> Path:
    """Write a package of this name whose command line is `code`; return the folder to run."""
    (folder / "deadtokens").mkdir(parents=True)
    (folder / "deadtokens" / "__init__.py").touch()
    (folder / "deadtokens" / "cli.py").write_text(code)
    shutil.copy(REPOSITORY / "workflow" / "__main__.py", folder)
    return folder


def answer_of(prefix: str, folder: Path, **environment: str) -> dict:
    answer = subprocess.run(
        ["bash", "-c", prefix.format() + "deadtokens 'an argument'"],
        cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(answer.stdout)


def test_a_job_is_this_checkout_s_code_and_nothing_else(tmp_path):
    package = package_in(tmp_path / HOSTILE / "workflow", PROBE)
    work, other = tmp_path / "work", tmp_path / "other"
    package_in(other, "raise SystemExit('code of another folder')")
    (other / "sitecustomize.py").write_text("import sys; sys.customized = True")
    package_in(work, "raise SystemExit('code of the working folder')")
    (work / "token.py").write_text("raise SystemExit('a file of the user')")
    found = answer_of(
        prefix_of_jobs(package, in_conda=False),
        work,
        PYTHONPATH=os.pathsep.join(["", ".", "relative", str(other)]),
        PYTHONOPTIMIZE="2",
        PYTHONWARNINGS="error",
        PYTHONHOME="/nowhere",
    )
    assert found["arguments"] == ["an argument"]
    assert found["package"] == str(package / "deadtokens" / "cli.py")
    assert not found["token"].startswith(str(tmp_path))
    assert (found["optimize"], found["warnings"]) == (0, [])
    assert not found["customized"]
    assert all(map(os.path.isabs, found["path"]))
    assert (found["path"][0], found["path"][-1]) == (str(package), str(other))


def test_a_job_in_a_conda_environment_takes_its_interpreter(tmp_path):
    package = package_in(tmp_path / "workflow", PROBE)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python").write_text('#!/bin/sh\necho "[\\"$*\\"]"\n')
    (bin_folder / "python").chmod(0o755)
    path = os.pathsep.join([str(bin_folder), os.environ["PATH"]])
    found = answer_of(prefix_of_jobs(package, in_conda=True), tmp_path, PATH=path)
    assert found == [f"-E -P -s {package} an argument"]


TITLE = "-x --log \"$(exit 1)\" 'a' <img onerror=x> {b} {{c}} & ก"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return a house of hostile names, in hostile company, and what drawing a figure there gave."""
    house = build_house(tmp_path_factory.mktemp("hostile") / HOSTILE)
    house.edit("workflow/deadtokens/text/corpus.py", '"corpus %s:', '"of this checkout, %s:')
    names = {"tale": "my {tale}.txt", "words": f"{'ก' * 82}.txt"}
    config = copy.deepcopy(TINY)
    for corpus, name in names.items():
        (house.work / f"{corpus}.txt").rename(house.work / name)
        config["corpora"][corpus]["path"] = name
    config["experiments"]["regimes"]["title"] = TITLE
    (house.work / "matplotlibrc").write_text("backend: nonsense\naxes.facecolor: red\n")
    for module in ("token", "random", "numpy", "sitecustomize"):
        (house.work / f"{module}.py").write_text("raise SystemExit('a file of the user')\n")
    other = package_in(tmp_path_factory.mktemp("o"), "raise SystemExit('code of another folder')")
    inline = "module://matplotlib_inline.backend_inline"  # as Jupyter sets it
    house.config = config
    house.figure = "results/figures/regimes/census.png"
    house.answer = house.snakemake(
        "--", house.figure, config=config, PYTHONPATH=str(other), MPLBACKEND=inline
    )
    return house


def test_a_figure_is_drawn_in_hostile_company(hostile):
    assert hostile.answer.returncode == 0, hostile.answer.stdout
    assert hostile.answer.stdout.count("of this checkout, ") == 2
    assert (hostile.work / hostile.figure).read_bytes().startswith(b"\x89PNG")


def test_only_figures_of_this_call_are_named(hostile):
    named = re.findall(r"^  (results/\S+)$", hostile.answer.stdout, re.MULTILINE)
    assert named == [hostile.figure]


class Tags(HTMLParser):
    """Collects the attributes of every element."""

    def __init__(self):
        super().__init__()
        self.attributes: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.attributes.extend(name for name, _ in attrs)


def test_a_title_is_text_in_the_report(hostile, tmp_path):
    report = tmp_path / "report.html"
    answer = hostile.snakemake("--report", str(report), "--", hostile.figure, config=hostile.config)
    assert answer.returncode == 0, answer.stdout
    text = report.read_text()
    assert "<img onerror=x>" in text  # within a script
    tags = Tags()
    tags.feed(text)
    assert "src" in tags.attributes or "id" in tags.attributes
    assert "onerror" not in tags.attributes


def test_a_text_that_moved_makes_nothing_anew(hostile):
    config = copy.deepcopy(hostile.config)
    (hostile.work / "moved").mkdir()
    config["corpora"]["tale"]["path"] = "moved/my {tale}.txt"
    shutil.copy(hostile.work / "my {tale}.txt", hostile.work / "moved")
    assert hostile.would_run("--", hostile.figure, config=config) == {}


def in_repository(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    answer = subprocess.run(
        ["git", *names, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """Return the package's folder in a repository of its own, with one commit."""
    package = tmp_path / "checkout" / "workflow" / "deadtokens"
    package.mkdir(parents=True)
    shutil.copy(REPOSITORY / "workflow" / "deadtokens" / "commit.py", package)
    for command in ("init -q", "add .", "commit -q -m one"):
        in_repository(tmp_path / "checkout", *command.split())
    return package


def test_the_commit_is_the_one_checked_out(checkout):
    commit = in_repository(checkout, "rev-parse", "HEAD")
    found = git_commit(checkout)
    assert len(found) >= 7
    assert commit.startswith(found)
    (checkout / "commit.py").write_text("# edited\n")
    assert git_commit(checkout) == f"{found}-dirty"


def test_a_copy_has_no_commit_whatever_lies_around_it(checkout, tmp_path):
    alone = tmp_path / "alone" / "workflow" / "deadtokens"
    shutil.copytree(checkout, alone)
    assert git_commit(alone) == "unknown"
    untracked = tmp_path / "untracked" / "workflow" / "deadtokens"
    shutil.copytree(checkout, untracked)
    in_repository(tmp_path / "untracked", "init", "-q")
    in_repository(tmp_path / "untracked", "commit", "-q", "--allow-empty", "-m", "another's")
    assert git_commit(untracked) == "unknown"
    within = checkout.parents[1] / "vendored" / "workflow" / "deadtokens"
    shutil.copytree(checkout, within)
    for command in ("add .", "commit -q -m vendored"):
        in_repository(checkout.parents[1], *command.split())
    assert git_commit(within) == "unknown"


@only_root
def test_the_commit_is_known_of_a_checkout_that_is_another_user_s(checkout):
    before = git_commit(checkout)
    top = checkout.parents[1]
    hand_over(top, ANNA, GROUP)
    with pytest.raises(subprocess.CalledProcessError):  # git by itself
        in_repository(checkout, "describe", "--always")
    assert git_commit(checkout) == before != "unknown"


def test_a_hook_s_variables_do_not_change_the_commit(checkout, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    in_repository(tmp_path / "other", "init", "-q")
    before = git_commit(checkout)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert git_commit(checkout) == before != "unknown"


def test_without_git_the_commit_is_unknown(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_commit(checkout) == "unknown"


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs a main with arguments and returns its exit status."""

    def run(main, *arguments) -> int | str | None:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["deadtokens", "plan", *map(str, arguments)])
            patch.setattr(cli, "call", lambda command, others: main(others))
            patch.setattr(os, "environ", dict(os.environ))
            patch.setattr(logging.root, "handlers", [])
            patch.setattr(logging, "raiseExceptions", True)
            try:
                return cli.deadtokens()
            except SystemExit as end:
                return end.code
            finally:
                for handler in logging.root.handlers:
                    handler.close()

    return run


def fails(error):
    def main(arguments):
        raise error

    return main


@pytest.mark.parametrize("form", [["--log", "{}"], ["--log={}"]])
def test_an_unexpected_exception_reaches_the_log(form, run, tmp_path):
    log = tmp_path / "folder" / "a.log"
    arguments = [part.format(log) for part in form]
    assert run(fails(ZeroDivisionError("of all things")), *arguments, "x") == 1
    text = log.read_text()
    assert "ZeroDivisionError: of all things" in text
    assert "Traceback" in text
    assert "please report it" in text


def test_a_mistake_of_the_user_is_a_sentence_in_the_log(run, tmp_path):
    assert run(fails(UserError("what to do")), "--log", tmp_path / "a.log") == 1
    assert (tmp_path / "a.log").read_text() == "deadtokens: what to do\n"


def test_what_the_system_refuses_is_a_sentence_in_the_log(run, tmp_path):
    for path in ("/a/folder", b"/a/folder"):
        error = PermissionError(errno.EACCES, "Permission denied", path)
        assert run(fails(error), "--log", tmp_path / "a.log") == 1
        assert (tmp_path / "a.log").read_text() == (
            "deadtokens: /a/folder: the system refuses it (Permission denied); check it and run it "
            "again\n"
        )


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/a/file"),  # which should be
        PermissionError(errno.EACCES, "Permission denied"),
        OSError("Unable to synchronously open file"),
    ],
)
def test_other_errors_of_files_may_be_faults(error, run, tmp_path):
    assert run(fails(error), "--log", tmp_path / "a.log") == 1
    assert "please report it" in (tmp_path / "a.log").read_text()


def test_only_the_log_is_taken_out_of_the_arguments(run, tmp_path, capsys):
    seen = []
    given = ["--title=--log", "--log", tmp_path / "a.log", "--logs", "-x", "--title=-x"]
    assert run(seen.extend, *given) is None
    assert seen == ["--title=--log", "--logs", "-x", "--title=-x"]
    assert run(seen.extend, "--log") == 2
    assert "argument --log: expected one argument" in capsys.readouterr().err


PINS = re.compile(r"^([a-z0-9._-]+)==([^\s;\\]+)( ; [^\\]+[^\\ ])?", re.MULTILINE)
ENVS = REPOSITORY / "envs"


def pins(file: str) -> dict[str, tuple[str, str]]:
    return {name: rest for name, *rest in PINS.findall((ENVS / file).read_text())}


def test_every_requirement_is_locked_with_hashes():
    locked = (ENVS / "requirements.txt").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", locked.partition("\n#    make lock\n")[2])
    assert len(entries) == len(pins("requirements.txt")) > 100
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in locked


def test_what_is_asked_for_is_locked():
    wanted = re.findall(r"^([a-z0-9-]+)", (ENVS / "requirements.in").read_text(), re.MULTILINE)
    assert "snakemake" in wanted
    assert set(wanted) <= set(pins("requirements.txt"))


def test_torch_adds_nothing_but_its_own_builds():
    """What every build of it needs is locked; it alone comes without a hash."""
    assert set(pins("torch.txt")) == {"torch"}
    needed = [line for line in requires("torch") if ";" not in line]
    names = {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in needed}
    assert len(names) > 3
    assert {name for name in names if not name.startswith(("nvidia", "triton", "cuda"))} <= set(
        pins("requirements.txt")
    )


def test_conda_s_environment_is_the_locked_one():
    """Snakemake copies this file alone: it cannot refer to the others."""
    *_, by_pip = yaml.safe_load((ENVS / "environment.yaml").read_text())["dependencies"]
    found = {name: rest for line in by_pip["pip"] for name, *rest in PINS.findall(line)}
    assert len(found) == len(by_pip["pip"])
    assert found == pins("requirements.txt") | pins("torch.txt")
