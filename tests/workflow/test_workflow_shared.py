"""Two users and one folder of results: one goes on where the other was, or is told what is closed.

Anna's are the results; Bert is who runs the tests, as far as root obeys the modes of files.
"""

import copy
import os

import pytest
from house import TINY
from users import ANNA, hand_over, obeying_modes, only_root

pytestmark = only_root

LONGER = copy.deepcopy(TINY)
LONGER["defaults"]["steps"] = 9
SHUT_OUT = "will not be let into what you make"


@pytest.fixture
def bert():
    """Let the group, to which both belong, into what is made."""
    if not obeying_modes():
        pytest.skip("setpriv is missing")
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.fixture
def annas(house, bert):
    """Return a finished house: code that nobody may write, results that are Anna's, in a group."""
    hand_over(house.code, ANNA, os.getgid(), closed=0o222)
    hand_over(house.work, ANNA, os.getgid())
    yield house
    hand_over(house.code, os.getuid(), os.getgid())


def made_by_bert(house, path, *arguments, config=TINY):
    """Let Bert make a file; return what Snakemake answered."""
    target = str(path.relative_to(house.work))
    return house.snakemake(*arguments, "--", target, config=config, before=obeying_modes())


def test_another_of_the_group_goes_on_from_read_only_code(annas):
    run = annas.run("fp32", LONGER)
    before = {path: path.stat().st_ino for path in annas.work.rglob("*")}
    answer = made_by_bert(annas, run / "steps-9" / "freezing.nc", config=LONGER)
    assert answer.returncode == 0, answer.stdout
    assert SHUT_OUT not in answer.stdout
    assert all(path.stat().st_ino == before[path] for path in run.glob("trajectory/*-00[01].nc"))
    made = [path for path in run.rglob("*") if path not in before]
    assert {"segment-002.nc", "steps-9", "freezing.nc"} < {path.name for path in made}
    assert {path.stat().st_uid for path in made} == {os.getuid()}
    assert {(path.is_dir(), oct(path.stat().st_mode & 0o7777)) for path in made} == {
        (False, "0o664"),
        (True, "0o2775"),
    }


def test_another_of_the_group_makes_anew_from_read_only_code(annas):
    paper = annas.work / "results" / "paper" / "paper.pdf"
    answer = made_by_bert(annas, paper, "--forcerun", "build_paper")
    assert answer.returncode == 0, answer.stdout
    assert paper.stat().st_uid == os.getuid()


CLOSED = (
    ".snakemake",
    ".snakemake/metadata",
    "results/runs/{run}/steps-6",
    "logs/measure_freezing/{run}",
    "logs/measure_freezing/{run}/6.tsv",
)


def measure_again(house, path):
    return made_by_bert(house, path, "--forcerun", "measure_freezing")


@pytest.mark.parametrize("closed", CLOSED)
def test_what_the_other_closed_is_told_before_the_first_job(closed, annas):
    run = annas.run("fp32")
    path = run / "steps-6" / "freezing.nc"
    closed = closed.format(run=run.name)
    (annas.work / closed).chmod(0o755 if (annas.work / closed).is_dir() else 0o644)
    answer = measure_again(annas, path)
    assert answer.returncode == 1
    assert f"\n{closed}: user {ANNA} lets nobody else write there. In a folder" in answer.stdout
    assert "Traceback" not in answer.stdout
    assert path.stat().st_uid == ANNA
    assert not [*annas.work.glob(".snakemake/locks/*")]


def test_where_nothing_is_closed_a_umask_that_will_close_it_is_told(annas):
    os.umask(0o022)
    path = annas.run("fp32") / "steps-6" / "freezing.nc"
    answer = measure_again(annas, path)
    assert answer.returncode == 0, answer.stdout
    assert path.stat().st_uid == os.getuid()
    assert SHUT_OUT in answer.stdout
