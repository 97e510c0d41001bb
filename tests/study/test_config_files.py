"""The configuration files of the repository: complete, valid, of the size they claim."""

import copy
import re

import pytest
import yaml
from config_data import CONFIG, DEFAULT
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from deadtokens.errors import UserError
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import flat
from deadtokens.study.config import RunSettings, flatten
from deadtokens.study.study import Study

README = (CONFIG / "README.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]


def overlaid(overlay: dict) -> dict:
    """Return the default configuration with an overlay merged over it, as Snakemake does it."""
    config = copy.deepcopy(DEFAULT)
    update_config(config, overlay)
    return config


def test_the_default_file_lists_every_key_with_the_package_s_default():
    assert flatten(DEFAULT["defaults"]) == flat(RunSettings())


def test_a_key_left_out_would_be_noticed():
    """Negative control of the comparison above."""
    short = copy.deepcopy(DEFAULT["defaults"])
    del short["record"]["segment"]
    assert flatten(short) != flat(RunSettings())


def test_snakemake_reads_the_same_values():
    assert load_configfile(CONFIG / "config.yaml") == DEFAULT


def test_every_number_of_the_files_is_one_for_yaml_too():
    for name in ("config.yaml", "paper.yaml"):
        text = (CONFIG / name).read_text(encoding="utf-8")
        exponents = re.findall(r"[\d.]+e[-+]?\d+", text)
        assert all(isinstance(yaml.safe_load(number), float) for number in exponents)


def test_the_paper_has_the_size_of_the_crucible():
    study = Study(overlaid(load_configfile(CONFIG / "paper.yaml")))
    (vocabulary,) = {run.vocabulary for run in study.runs.values()}
    assert study.vocabularies[vocabulary].size == 10_000
    size = {
        (run.width, run.layers, run.heads, run.context, run.batch) for run in study.runs.values()
    }
    assert size == {(64, 2, 2, 128, 128)}
    assert {member.steps for member in study.members} == {5_000}


def test_the_paper_has_every_regime_and_three_seeds():
    study = Study(overlaid(load_configfile(CONFIG / "paper.yaml")))
    members = study.experiments["regimes"].members
    found = {(study.runs[member.run].precision, study.runs[member.run].seed) for member in members}
    members = study.experiments["rounding"].members
    found |= {(study.runs[member.run].precision, study.runs[member.run].seed) for member in members}
    assert found == {(regime, seed) for regime in REGIMES for seed in range(3)}
    assert study.experiments["regimes"].title == DEFAULT["experiments"]["regimes"]["title"]


def test_the_paper_alone_is_an_overlay():
    with pytest.raises(UserError, match="corpora: this key is missing"):
        Study(load_configfile(CONFIG / "paper.yaml"))


def test_the_readme_s_examples_are_valid_overlays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resources").mkdir()
    (tmp_path / "resources" / "mine.txt").write_text("a text of one's own " * 10)
    added = [
        {name: len(found.members) for name, found in Study(overlaid(example)).experiments.items()}
        for example in EXAMPLES
    ]
    assert added == [
        {"regimes": 2, "learning-rate": 30},
        {"regimes": 2, "second-moment": 3},
        {"regimes": 2, "mine": 2},
    ]


def test_the_readme_names_the_default_study_s_results():
    study = Study(DEFAULT)
    assert all(f"`runs/{run}`" in README for run in study.runs)
    assert f"`corpora/{next(iter(study.corpora))}`" in README
    assert all(f"`vocabularies/{name}`" in README for name in study.vocabularies)


def test_the_readme_s_mistake_reads_as_the_program_says_it():
    with pytest.raises(UserError) as caught:
        Study(overlaid({"defaults": {"precison": "fp32"}}))
    assert f"\n    {caught.value}\n" in README
