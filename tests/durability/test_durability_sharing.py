"""Several people in one folder: their umasks hold, and what one keeps closed is told the other."""

import os
import shutil
import tempfile
from contextlib import ExitStack, nullcontext
from pathlib import Path

import numba
import pytest
import torch
from foreign import Model, train
from users import ANNA, BERT, GROUP, being, hand_over, only_root
from writers import WRITERS

from deadtokens.errors import UserError
from deadtokens.files import _around, complete_or_absent
from deadtokens.freezing import steps
from deadtokens.loops import Chosen, _all_is_readable
from deadtokens.paper.typeset import typeset
from deadtokens.recording.contents import LOCK
from deadtokens.recording.folder import Folder
from deadtokens.recording.recorder import Recorder
from deadtokens.report.analyse import claim_output
from deadtokens.seal import check_seal, complete_and_sealed, seal_path
from deadtokens.sharing import ensure_open, ensure_snakemake_is_let_in, shuts_out_the_group
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.release import release

UMASKS = (0o002, 0o022, 0o077)
NEVER = f"{2**22 - 1:x}"  # the number of a process that is none: Linux counts up to there


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def shared():
    """Return a folder that a group shares, if root runs the tests: Anna's and Bert's."""
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, -1, GROUP if os.getuid() == 0 else -1)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


def modes_in(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o7777) for path in sorted(folder.rglob("*"))}


def assert_open_as_the_umask_says(folder: Path, umask: int) -> None:
    """Hold everything below a folder to what the umask leaves, and to the folder's group."""
    as_file, as_folder = oct(0o666 & ~umask), oct(0o2777 & ~umask)
    below = [*folder.rglob("*")]
    expected = {path.name: as_folder if path.is_dir() else as_file for path in below}
    assert modes_in(folder) == expected
    assert {path.stat().st_gid for path in below} == {folder.stat().st_gid}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_s_files_are_as_open_as_the_umask_says(writer, umask, shared):
    name, write = WRITERS[writer]
    write(shared / "a folder" / name)
    assert (shared / "a folder" / name).is_file()
    assert_open_as_the_umask_says(shared, umask)


def test_a_file_that_python_calls_temporary_is_closed_to_all(shared, umask):
    """Negative control: its mode is no umask's, but for one."""
    with (
        complete_or_absent(shared / "x") as temporary,
        tempfile.NamedTemporaryFile(dir=shared, delete=False) as new,
    ):
        os.replace(new.name, temporary)
    assert modes_in(shared) == {"x": "0o600"}
    if umask != 0o077:
        with pytest.raises(AssertionError):
            assert_open_as_the_umask_says(shared, umask)


def recorded(folder: Path, updates: range, model: Model | None = None) -> Model:
    """Record a training; go on with it, if it is given."""
    model = model or Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(folder, model.embedding.weight, optimizer, segment=2):
        train(model, optimizer, updates)
    return model


def test_a_recording_is_as_open_as_the_umask_says(umask, shared):
    recorded(shared / "mine", range(4))
    assert {LOCK, "recording.json"} < modes_in(shared).keys()
    assert_open_as_the_umask_says(shared, umask)


@pytest.fixture
def annas(shared):
    """Return a recording of Anna's in the shared folder, and the model that she trained."""
    model = recorded(shared / "mine", range(4))
    hand_over(shared, ANNA, GROUP)
    return shared / "mine", model


@only_root
def test_a_recording_goes_on_under_a_lock_that_may_only_be_read(annas):
    folder, model = annas
    (folder / LOCK).chmod(0o644)
    with being(BERT, umask=0o002):
        recorded(folder, range(4, 6), model)
        assert open_run(folder).sizes["update"] == 6
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with (
            Recorder(folder, model.embedding.weight, optimizer),
            pytest.raises(UserError, match="another recorder writes there"),
        ):
            recorded(folder, range(6, 8), model)


@only_root
def test_a_lock_that_may_not_even_be_read_is_told(annas):
    folder, model = annas
    (folder / LOCK).chmod(0o600)
    with being(BERT), pytest.raises(UserError, match=rf"{LOCK}: Permission denied; check its perm"):
        recorded(folder, range(4, 6), model)


@only_root
def test_segments_that_cannot_be_set_aside_are_told(annas):
    folder, _ = annas
    aside = folder / "set-aside"
    aside.mkdir(mode=0o755)
    os.chown(aside, ANNA, GROUP)
    with being(BERT), ExitStack() as ending:
        held = Folder(folder)
        ending.callback(held.release)
        with pytest.raises(UserError, match=r"set-aside/\S+: cannot be written \(Perm"):
            held.set_aside_all()
    assert open_run(folder).sizes["update"] == 4


def left_by_a_dead_process(path: Path, number: int, owner: int) -> Path:
    """Make a file as a process of a user leaves it that is killed as it writes `path`."""
    start, end = _around(path)
    left = path.with_name(f"{start}{NEVER}-{number:08}{end}")
    left.write_text("half")
    os.chown(left, owner, GROUP)
    return left


@only_root
@pytest.mark.parametrize("each_his_own", [False, True], ids=["any", "his own"])
def test_what_another_s_killed_process_left_keeps_nobody_from_writing(each_his_own, shared):
    path = shared / "x.nc"
    annas = [left_by_a_dead_process(path, number, ANNA) for number in range(8)]
    berts = [left_by_a_dead_process(path, 8 + number, BERT) for number in range(8)]
    if each_his_own:
        shared.chmod(0o3775)
    with being(BERT), complete_or_absent(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert {*shared.iterdir()} == {path, *(annas if each_his_own else ())}
    assert len(berts) == 8


@pytest.fixture
def run(shared):
    """Return the folder of a run of Anna's, with a segment and a file that is derived from it."""
    for name in ("trajectory/segment-000.nc", "steps-3/drift.nc"):
        (shared / name).parent.mkdir()
        with complete_and_sealed(shared / name) as temporary:
            temporary.write_text(name)
    hand_over(shared, ANNA, GROUP)
    return shared


def release_run(run: Path) -> None:
    release([run / "trajectory/segment-000.nc"], [run / "steps-3/drift.nc"], run / "released.json")


@only_root
def test_a_record_in_a_closed_folder_is_not_released(run):
    (run / "trajectory").chmod(0o2755)
    before = {*run.rglob("*")}
    with being(BERT), pytest.raises(UserError, match=r"000\.nc: cannot be written .*`chmod g\+w`"):
        release_run(run)
    assert {*run.rglob("*")} == before
    (run / "trajectory").chmod(0o2775)
    with being(BERT):
        release_run(run)
    assert sorted(path.name for path in run.iterdir()) == ["released.json", "steps-3"]


@only_root
def test_what_may_not_be_read_is_not_called_damaged(run):
    path = run / "steps-3" / "drift.nc"
    seal_path(path).chmod(0o600)
    with being(BERT), pytest.raises(UserError) as told:
        check_seal(path)
    sentence = "cannot be read (Permission denied); check its permissions"
    assert str(told.value) == f"{seal_path(path)}: {sentence}"
    seal_path(path).chmod(0o640)
    with being(BERT):
        check_seal(path)


@only_root
@pytest.mark.parametrize("closed", [".", "figures"])
def test_an_analysis_whose_folder_is_closed_is_refused_before_it_begins(closed, shared):
    output = shared / "analysis"
    claim_output(output)
    (output / "figures").mkdir()
    hand_over(output, ANNA, GROUP)
    with being(BERT):
        claim_output(output)
    (output / closed).chmod(0o2755)
    with being(BERT), pytest.raises(UserError, match=r"analysis\S+: cannot be written \(Permiss"):
        claim_output(output)


@only_root
@pytest.mark.parametrize("closed", [0o020, 0o040, 0o010])
def test_who_keeps_the_others_out_is_named(closed, run, monkeypatch):
    monkeypatch.chdir(run)
    folder, new = Path("steps-3"), Path("steps-3/new/x.nc")
    with being(BERT):
        ensure_open([folder, new, Path("another/x.nc")])
    folder.chmod(0o2775 & ~closed)
    with being(BERT):
        for path in (folder, new):
            with pytest.raises(UserError) as told:
                ensure_open([path])
            assert str(told.value) == (
                f"steps-3: user {ANNA} lets nobody else write there. In a folder that several "
                f"share, each calls `umask 002` before anything else; what user {ANNA} has there "
                f"by now, user {ANNA} opens with `chmod -R g+rwX {run}`; or work elsewhere "
                "(--directory)."
            )
    with being(ANNA):
        ensure_open([folder, new])  # his own folder he can open himself


@only_root
def test_snakemake_s_folder_is_open_when_each_folder_in_it_is(run, monkeypatch):
    monkeypatch.chdir(run)
    ours = Path(".snakemake")
    ensure_snakemake_is_let_in()
    run.chmod(0o755)
    with being(BERT), pytest.raises(UserError, match=f"^{run}: user {ANNA} lets nobody"):
        ensure_snakemake_is_let_in()
    (ours / "metadata").mkdir(parents=True)
    (ours / "a file").touch()
    hand_over(ours, ANNA, GROUP)
    (ours / "a file").chmod(0o644)
    with being(BERT):
        ensure_snakemake_is_let_in()
    for folder in (ours, ours / "metadata"):
        folder.chmod(0o2755)
        with being(BERT), pytest.raises(UserError, match=f"^{folder}: user {ANNA} lets nobody"):
            ensure_snakemake_is_let_in()
        folder.chmod(0o2775)


def test_a_umask_that_shuts_out_the_group_is_known(umask, shared):
    assert shuts_out_the_group(shared) == (umask != 0o002)
    for mode in (0o755, 0o775, 0o2755):  # shared with nobody, as far as can be seen
        shared.chmod(mode)
        assert not shuts_out_the_group(shared)
    assert [*shared.iterdir()] == []


def test_a_template_that_is_read_only_is_typeset(shared):
    template = shared / "template"
    template.mkdir()
    (template / "paper.typ").write_text('#let data = json("data.json")\n#data.word')
    for path in (template / "paper.typ", template):
        path.chmod(0o555)
    with being(BERT) if os.getuid() == 0 else nullcontext():
        typeset(template, {"word": "freeze"}, shared, [], shared / "paper.pdf")
    assert (shared / "paper.pdf").read_bytes().startswith(b"%PDF")
    template.chmod(0o755)


@only_root
def test_compiled_code_that_may_not_be_read_is_kept_elsewhere(shared, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(shared))
    function = steps._add.py_func
    arguments = function, steps.__file__
    kept = Path(Chosen.from_function(*arguments).get_cache_path()) / "a.nbi"
    kept.touch()
    hand_over(shared, ANNA, GROUP)
    for mode, place in ((0o640, Chosen), (0o600, type(None))):
        kept.chmod(mode)
        _all_is_readable.cache_clear()
        with being(BERT):
            assert type(Chosen.from_function(*arguments)) is place
    _all_is_readable.cache_clear()
