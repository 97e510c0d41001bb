"""A finished study in one file, and what of it is refused when it is unpacked."""

import json
import os
import shutil
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from config_data import DEFAULT

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.seal import complete_and_sealed
from deadtokens.study.archive import MANIFEST
from deadtokens.study.figures import CLOUDS, OF_CENSUSES
from deadtokens.study.inventory import files_of
from deadtokens.study.models import models_of
from deadtokens.study.plan import parts_of
from deadtokens.study.study import Study

CONFIG = DEFAULT | {
    "defaults": DEFAULT["defaults"] | {"steps": 4, "record": {"segment": 2}},
    "experiments": {
        "b": {"vary": {"precision": ["pure-bf16", "fp32"]}, "figures": ["frozen", "effects"]},
        "a": {"set": {"lr": 0.1}, "figures": ["initial_softmax", "gradient_flow"]},
    },
}


TABLES = {
    "census.nc": ["census.csv"],
    "backprop.nc": ["backprop.csv"],
    "outcomes.nc": ["outcomes.csv", "effects.csv"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Return a folder with a finished study, in which the test works."""
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_text(json.dumps(CONFIG))
    for file in files_of(Study(CONFIG)):
        finish(file.path, TABLES.get(Path(file.path).name, ()))
    receipt = Path("results/runs", next(iter(Study(CONFIG).runs)), "released.json")
    receipt.write_text("{}")
    return tmp_path


def finish(name: str, beside: Sequence[str] = (), sealed: bool = True) -> None:
    """Write a file of the results, which tells its name, and what is made with it."""
    path = Path("results", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (complete_and_sealed if sealed else complete_or_absent)(path) as temporary:
        temporary.write_bytes(name.encode())
    for table in beside:
        path.with_name(table).write_text("a,b\n")


def pack(name="study.zip"):
    call("archive", ["mine.json", "--output", name])
    return Path(name)


def contents(folder):
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_what_is_to_be_called_next_is_said_for_the_workflows_folder(folder, caplog):
    caplog.set_level("INFO")
    call("restore", [str(pack()), "--directory", "the study"])
    said = "--directory 'the study' --configfile 'the study/study.yaml' draws the figures"
    assert said in caplog.text


def test_what_figures_are_made_from_comes_back_and_nothing_else(folder):
    call("restore", [str(pack()), "--directory", "there"])
    restored, all_files = contents("there/results"), contents("results")
    assert restored.items() <= all_files.items()
    dropped = all_files.keys() - restored.keys()
    assert {name.split("/")[0] for name in dropped} == {"corpora", "figures", "runs"}
    runs = [name.split("/")[2] for name in dropped if name.startswith("runs/")]
    assert set(runs) == {"trajectory", "checkpoints"}
    for name in ("freezing.nc", "freezing.nc.seal.json", "backprop.csv", "initial_softmax.nc",
                 "released.json", "effects.csv", "census.csv", "stream.nc"):  # fmt: skip
        assert any(path.endswith(f"/{name}") for path in restored), name
    configuration = yaml.safe_load(Path("there/study.yaml").read_text())
    assert configuration == CONFIG | {"keep": "derived"}
    assert list(configuration["experiments"]) == ["b", "a"]
    times = {os.stat(Path("there/results", name)).st_mtime_ns for name in restored}
    assert len(times) == 1


MODELS = {
    "theirs": {"path": "model.gguf", "matrices": ["embedding", "unembedding"], "embedding": "E"},
    "pinned": {"source": "minilm", "path": None},
    "split": {"source": "minilm", "tokenizer": "vocab.json"},
}
OF_MODELS = {
    "theirs": ["embedding", "unembedding"],
    "pinned": ["embedding"],
    "split": ["embedding"],
}


@pytest.fixture
def with_models(folder) -> Path:
    """Return the folder with models in the study, what was made of them, and a downloaded one."""
    for name in ("model.gguf", "vocab.json", "results/weights/minilm/model.safetensors"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"a model's own")
    Path("mine.json").write_text(json.dumps(CONFIG | {"models": MODELS}))
    for place in (f"models/{name}/{matrix}" for name in OF_MODELS for matrix in OF_MODELS[name]):
        finish(f"{place}/census.nc", ["suspects.csv"])
        for figure in OF_CENSUSES:
            finish(f"{place}/{figure}.png", [f"{figure}.pdf", f"{figure}.csv"], sealed=False)
    finish(f"models/{CLOUDS}.png", [f"{CLOUDS}.pdf", f"{CLOUDS}.csv"], sealed=False)
    return folder


def test_of_models_comes_back_what_was_made_of_them(with_models):
    call("restore", [str(pack()), "--directory", "there"])
    of_models = contents("results/models")
    assert len(of_models) == 4 * (3 + 3 * len(OF_CENSUSES)) + 3
    assert contents("there/results/models") == of_models
    assert not any(b"own" in content for content in contents("there").values())
    configuration = yaml.safe_load(Path("there/study.yaml").read_text())
    assert configuration["models"] == {
        "theirs": MODELS["theirs"] | {"path": "results/models/theirs"},
        "pinned": MODELS["pinned"],
        "split": {"path": "results/models/split", "tokenizer": "vocab.json"},
    }


def test_a_study_is_whole_where_its_models_are_not(with_models, monkeypatch):
    """Nothing is missing of them, and it opens even without what was made of them."""
    call("restore", [str(pack()), "--directory", "there"])
    monkeypatch.chdir("there")
    values = yaml.safe_load(Path("study.yaml").read_text())
    study = Study(values)
    gone = {name: model.is_elsewhere for name, model in models_of(study).items()}
    assert gone == {"theirs": True, "pinned": False, "split": True}
    missing = [file.path for file in parts_of(study, Path("results"))[""].missing]
    assert [path for path in missing if path.startswith(("models/", "weights/"))] == []
    Path("study.yaml").rename("mine.json")
    assert pack().read_bytes() == Path("../study.zip").read_bytes()
    shutil.rmtree("results/models")
    assert models_of(Study(values)) == models_of(study)


@pytest.mark.parametrize("name", ["census.nc", "suspects.csv", "matrix_roc.png", "matrix_roc.csv"])
def test_a_model_that_is_not_examined_is_not_packed(name, with_models):
    Path("results/models/theirs/unembedding", name).unlink()
    with pytest.raises(UserError, match=rf"theirs/unembedding/{name}: missing; run snakemake"):
        pack()


def test_a_damaged_census_of_a_model_is_not_packed(with_models):
    path = Path("results/models/theirs/unembedding/census.nc")
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(UserError, match=r"unembedding/census\.nc: damaged"):
        pack()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("results/model/theirs", "is neither a file nor a folder"),
        ("results/models/theirs/embedding", "has no file of a model"),
    ],
)
def test_no_other_place_stands_for_a_model(path, sentence, with_models):
    Path("results/models/theirs/embedding/census.nc.seal.json").unlink()
    study = Study(CONFIG | {"models": {"theirs": {"path": path}}})
    with pytest.raises(UserError, match=sentence):
        models_of(study)


def test_a_model_that_lies_among_the_results_is_a_model(with_models):
    Path("results/models/theirs/model.gguf").write_bytes(b"GGUF")
    models = {"theirs": {"path": "results/models/theirs"}}
    model = models_of(Study(CONFIG | {"models": models}))["theirs"]
    assert model.files == ("results/models/theirs/model.gguf",)
    assert not model.is_elsewhere


@pytest.mark.parametrize("umask", [0o002, 0o077], ids=oct)
def test_what_comes_back_is_as_open_as_the_umask_says(umask, folder):
    there = folder / "there"
    there.mkdir()
    there.chmod(0o2775)
    before = os.umask(umask)
    call("restore", [str(pack()), "--directory", "there"])
    os.umask(before)
    paths = [folder / "study.zip", *there.rglob("*")]
    modes = {(path.is_dir(), oct(path.stat().st_mode & 0o7777)) for path in paths}
    assert modes == {(False, oct(0o666 & ~umask)), (True, oct(0o2777 & ~umask))}


def test_the_same_study_gives_the_same_bytes(folder):
    first = pack().read_bytes()
    for path in Path("results").rglob("*"):
        os.utime(path, (1, 1))
    assert pack("again.zip").read_bytes() == first
    census = next(Path("results").rglob("census.csv"))
    census.write_text("a,c\n")
    assert pack("other.zip").read_bytes() != first


@pytest.mark.parametrize("name", ["freezing.nc", "effects.csv"])
def test_an_unfinished_study_is_not_packed(name, folder):
    next(Path("results").rglob(name)).unlink()
    with pytest.raises(UserError, match=rf"{name}: missing; run snakemake"):
        pack()
    assert not Path("study.zip").exists()


def test_a_damaged_file_is_not_packed(folder):
    path = next(Path("results").rglob("freezing.nc"))
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(UserError, match="damaged, its bytes are not those that were sealed"):
        pack()


def rewritten(change, compression=zipfile.ZIP_STORED):
    """Write the archive anew, as `change` gives its (entry, bytes)."""
    with zipfile.ZipFile(pack()) as file:
        entries = [(entry, file.read(entry)) for entry in file.infolist()]
    with zipfile.ZipFile("hostile.zip", "w", compression) as file:
        for entry, content in change(entries):
            file.writestr(entry, content, compression)


def in_manifest(entries, name):
    """Add a name, which then has a right checksum."""
    add = f"{'0' * 64}  {name}\n".encode()
    return [
        (entry, content + add if entry.filename == MANIFEST else content)
        for entry, content in entries
    ]


def with_entry(name):
    return lambda entries: [*in_manifest(entries, name), (zipfile.ZipInfo(name), b"x")]


def with_link(entries):
    name = "data/results/link"
    link = zipfile.ZipInfo(name)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return [*in_manifest(entries, name), (link, b"/etc/passwd")]


def with_another_byte(entries):
    return [
        (entry, content + b"x" if entry.filename.endswith("freezing.nc") else content)
        for entry, content in entries
    ]


def without_a_file(entries):
    return [one for one in entries if not one[0].filename.endswith("stream.nc")]


HOSTILE = {
    "upwards": (with_entry("data/results/../../evil"), "'data/results/../../evil' would lie outs"),
    "absolute": (with_entry("/tmp/evil"), "'/tmp/evil' would lie outside"),
    "elsewhere": (with_entry("data/evil"), "'data/evil' would lie outside"),
    "a drive": (with_entry("data/results\\..\\evil"), "would lie outside"),
    "a dot": (with_entry("data/results/./evil"), "would lie outside"),
    "a link": (with_link, "'data/results/link' is no plain file"),
    "a folder": (with_entry("data/results/folder/"), "is no plain file"),
    "not listed": (
        lambda entries: [*entries, (zipfile.ZipInfo("data/results/new"), b"")],
        "'data/results/new' is not in its manifest-sha256.txt",
    ),
    "missing": (without_a_file, "stream.nc' is not in it"),
    "another byte": (with_another_byte, "freezing.nc' has not its SHA-256"),
    "no manifest": (lambda entries: entries[2:], "has no manifest-sha256.txt"),
    "a damaged manifest": (
        lambda entries: [
            (one, b"?") if one.filename == MANIFEST else (one, two) for one, two in entries
        ],
        "manifest-sha256.txt is damaged: '\\?'",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_in_a_sentence(kind, folder):
    change, sentence = HOSTILE[kind]
    rewritten(change)
    Path("there").mkdir()
    with pytest.raises(UserError, match=sentence.replace("\\..", "..")) as caught:
        call("restore", ["hostile.zip", "--directory", "there"])
    assert "\n" not in str(caught.value)
    assert contents("there") == {}
    assert not Path("evil").exists()


def test_a_compressed_archive_is_refused_as_it_may_be_any_size(folder):
    rewritten(lambda entries: entries, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="compressed"):
        call("restore", ["hostile.zip", "--directory", "there"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_stands_twice_is_refused(folder):
    rewritten(lambda entries: [*entries, entries[-1]])
    with pytest.raises(UserError, match="stands in it twice"):
        call("restore", ["hostile.zip", "--directory", "there"])


@pytest.mark.parametrize("part", [0, 0.3, 0.99])
def test_a_truncated_archive_is_refused(part, folder):
    whole = pack().read_bytes()
    Path("cut.zip").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(UserError, match=r"cut\.zip: not a whole archive of a study"):
        call("restore", ["cut.zip", "--directory", "there"])
    assert contents("there") == {}


def test_a_flipped_byte_is_refused_wherever_it_is(folder):
    whole = pack().read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        changed = bytearray(whole)
        changed[place] ^= 1
        Path("flipped.zip").write_bytes(changed)
        try:
            call("restore", ["flipped.zip", "--directory", f"there-{place}"])
        except UserError:
            assert contents(f"there-{place}") == {}
        else:  # in what no reader looks at
            assert contents(f"there-{place}/results").items() <= contents("results").items()


@pytest.mark.parametrize("name", ["results/mine.txt", "study.yaml"])
def test_what_is_there_is_not_overwritten(name, folder):
    path = Path("there", name)
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(UserError, match="is there already; restore into a folder without results"):
        call("restore", [str(pack()), "--directory", "there"])
    assert contents("there") == {name: b"mine"}


@pytest.mark.parametrize("name", ["mine.json", "none.zip", "results"])
def test_what_is_no_archive_is_a_sentence(name, folder):
    with pytest.raises(UserError, match=f"{name}: (not a whole archive|cannot be read)"):
        call("restore", [name, "--directory", "there"])
