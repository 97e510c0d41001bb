"""Configuration files are read as Snakemake reads them, but no key is lost in them."""

import json

import pytest
from config_data import CONFIG, DEFAULT
from snakemake.common.configfile import load_configfile

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.run.spec import RunSpec
from deadtokens.study.claims import claims_of
from deadtokens.study.estimates import START_MINUTES, predicted_minutes
from deadtokens.study.files import check_folder_of_results, read_configuration
from deadtokens.study.study import Study


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mine.yaml"


def sentence_on(file) -> str:
    with pytest.raises(UserError) as caught:
        read_configuration([file])
    assert "\n" not in str(caught.value)
    return str(caught.value)


REPEATS = {
    "at the top": ("defaults: {}\nexperiments: {}\ndefaults: {lr: 1}\n", "defaults", ", line 3"),
    "within a mapping": ("defaults:\n  lr: 1\n  batch: 2\n  lr: 3\n", "lr", ", line 4"),
    "on one line": ("defaults: {lr: 1, lr: 1}\n", "lr", ", line 1"),
    "quoted once": ("a:\n- {lr: 1, 'lr': 2}\n", "lr", ", line 2"),
    "in JSON": (json.dumps({"a": [{"b": 1}]}).replace('"b": 1', '"b": 1,\t"b": 2'), "b", ""),
}


@pytest.mark.parametrize("what", REPEATS)
def test_a_key_that_stands_twice_is_refused(what, file):
    text, key, place = REPEATS[what]
    file.write_text(text)
    assert sentence_on(file).startswith(f"{file}{place}: the key '{key}' stands in this mapping")
    load_configfile(file)  # negative control: Snakemake takes the last one without a word


NOT_REPEATS = {
    "in two mappings": "a: {lr: 1}\nb: {lr: 2}\n",
    "by an alias": "a: &x {lr: 1}\nb: *x\nc: [*x, *x]\n",
    "over a merged mapping": "a: &x {lr: 1, b: 2}\nb: {<<: *x, lr: 3}\nc: {<<: *x, lr: 4}\n",
    "in JSON": '{"a":\t{"lr": 1}, "b": {"lr": 2}}',
}


@pytest.mark.parametrize("what", NOT_REPEATS)
def test_the_same_key_elsewhere_is_none(what, file):
    file.write_text(NOT_REPEATS[what])
    assert read_configuration([file]) == load_configfile(file)


def test_an_alias_of_itself_is_read_to_its_end(file):
    file.write_text("a: &x\n  b: *x\n")
    assert list(read_configuration([file])) == ["a"]


UNREADABLE = {
    "UTF-16": (
        "lr: 1".encode("utf-16"),
        "not a readable configuration ('utf-8' codec can't",
    ),
    "Latin-1": ("title: fünf".encode("latin-1"), "not a readable configuration ('utf-8' codec"),
    "a list": (b"- a\n- b\n", "a configuration is a mapping of keys to values, this is not"),
    "a word": (b"steps\n", "a configuration is a mapping of keys to values, this is not"),
    "no YAML": (b"a: [1\n", "not a readable configuration (while parsing a flow sequence"),
    "no day": (b"a: 2026-13-40\n", "not a readable configuration (month must be in 1..12"),
    "depth": (b"[" * 20_000, "not a readable configuration (maximum recursion depth"),
    "NUL": (b"a: \0\n", "not a readable configuration (unacceptable character"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_is_no_configuration_is_one_sentence(what, file):
    content, expected = UNREADABLE[what]
    file.write_bytes(content)
    assert sentence_on(file).startswith(f"{file}: {expected}")
    with pytest.raises(UserError):
        call("plan", [str(file)])


@pytest.mark.parametrize("below", ["", "deep/results"])
def test_a_file_where_results_should_be_is_refused(below, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").write_text("")
    sentence = "results: a file stands where the folder of the results should be; rename it, or"
    with pytest.raises(UserError, match=sentence):
        check_folder_of_results(tmp_path / "results" / below)
    with pytest.raises(UserError, match=sentence):
        call("plan", [str(CONFIG / "config.yaml"), "--results", f"results/{below}"])
    check_folder_of_results(tmp_path / "elsewhere" / below)
    check_folder_of_results(tmp_path)


def test_claims_that_are_not_there_are_named_with_their_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study(DEFAULT | {"claims": "none.yaml"})
    with pytest.raises(
        UserError, match=r"claims: 'none\.yaml' is no file; looked for .*/none\.yaml"
    ):
        claims_of(study)


def test_a_folder_and_a_missing_file_are_sentences(tmp_path):
    assert sentence_on(tmp_path).endswith("not a readable configuration (Is a directory)")
    assert "No such file" in sentence_on(tmp_path / "none.yaml")


def test_the_files_of_the_repository_have_no_repeats():
    assert read_configuration([CONFIG / "config.yaml"]) == DEFAULT
    for name in ("study.yaml", "paper.yaml"):
        assert "defaults" in read_configuration([CONFIG / name])


def limits(updates: int, **spec) -> int:
    """Return the minutes of 1,000 updates in segments of so many, without the starts."""
    run = RunSpec.model_validate(spec | {"record": {"segment": updates}})
    return 1000 // updates * (predicted_minutes(run, 10_000) - START_MINUTES)


def test_a_time_limit_follows_the_work_and_not_its_pieces():
    paper = {"batch": 128, "context": 128}
    whole = limits(1000, **paper)
    assert whole == 242  # 6 (10,000 * 64 + 2 * 12 * 64^2) * 128^2 * 1,000 operations, 5e9 a second
    assert limits(250, **paper) == pytest.approx(whole, rel=0.02)
    assert limits(1000, batch=256, context=128) == pytest.approx(2 * whole, rel=0.01)
    assert limits(1000, batch=1, context=1, width=2) == 1
