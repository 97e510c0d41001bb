"""The configuration files of the repository: complete, valid, of the size they claim."""

import copy
import re
from collections import Counter

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
    for name in ("config.yaml", "study.yaml", "paper.yaml"):
        text = (CONFIG / name).read_text(encoding="utf-8")
        exponents = re.findall(r"[\d.]+e[-+]?\d+", text)
        assert all(isinstance(yaml.safe_load(number), float) for number in exponents)


def merged(*names: str) -> Study:
    """Return the study of several files of the repository, as Snakemake merges them."""
    config = copy.deepcopy(DEFAULT)
    for name in names:
        update_config(config, load_configfile(CONFIG / name))
    return Study(config)


def settings(study: Study, experiment: str) -> list[dict]:
    """Return what the runs of an experiment set besides the defaults of the files, by flat key."""
    members = study.experiments[experiment].members
    specs = [flat(study.runs[member.run]) | {"steps": member.steps} for member in members]
    keys = [key for key in specs[0] if len({str(spec[key]) for spec in specs}) > 1]
    return [{key: spec[key] for key in keys} for spec in specs]


def test_the_paper_has_the_size_of_the_crucible():
    study = merged("study.yaml", "paper.yaml")
    (vocabulary,) = {run.vocabulary for run in study.runs.values()}
    assert study.vocabularies[vocabulary].size == 10_000
    size = {
        (run.width, run.layers, run.heads, run.context, run.batch) for run in study.runs.values()
    }
    assert size == {(64, 2, 2, 128, 128)}
    assert {member.steps for member in study.members} == {5_000, 20_000}


def test_study_and_paper_are_the_same_experiments_at_two_sizes():
    study, paper = merged("study.yaml"), merged("study.yaml", "paper.yaml")
    assert study.experiments.keys() == paper.experiments.keys()
    shared = study.experiments.keys() - {"length", "data-seed"}
    for name in shared:
        ours, theirs = (
            {tuple((key, str(value)) for key, value in one.items() if key not in ("seed", "steps"))
             for one in settings(each, name)}
            for each in (study, paper)
        )  # fmt: skip
        assert ours == theirs, name
        one, other = study.experiments[name], paper.experiments[name]
        assert (one.title, one.factors, one.figures) == (other.title, other.factors, other.figures)


@pytest.mark.parametrize(
    ("names", "seeds"), [(["study.yaml"], 5), (["study.yaml", "paper.yaml"], 10)]
)
def test_every_comparison_has_its_seeds_in_pairs(names, seeds):
    study = merged(*names)
    for name, experiment in study.experiments.items():
        runs = Counter(study.runs[member.run].seed for member in experiment.members)
        expected = {"regimes": [0], "data-seed": [0]}.get(name, list(range(seeds)))
        assert sorted(runs) == expected, name
        assert len(set(runs.values())) == 1, name
    assert {spec.bfloat16_start for spec in study.runs.values()} == {True}


def test_every_intervention_changes_one_setting_at_least_once():
    """So that it has effects; a title is a question."""
    study = merged("study.yaml")
    for name, experiment in study.experiments.items():
        cells = [{key: str(one[key]) for key in one if key != "seed"}
                 for one in settings(study, name)]  # fmt: skip
        assert (
            any(sum(one[key] != other[key] for key in one) == 1 for one in cells for other in cells)
            or name == "weights-seed"
        ), name
        assert "?" in experiment.title


def test_the_study_has_every_regime():
    study = merged("study.yaml")
    found = {one["precision"] for one in settings(study, "regimes")}
    assert found == set(REGIMES)


@pytest.mark.parametrize("name", ["study.yaml", "paper.yaml"])
def test_an_overlay_alone_is_none(name):
    with pytest.raises(UserError, match="corpora: this key is missing"):
        Study(load_configfile(CONFIG / name))


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
