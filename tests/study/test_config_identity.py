"""What names a run: all that determines its numbers, and nothing else."""

import copy
import hashlib
import json
import re

import pytest
from config_data import DEFAULT, changed, with_experiment
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.run.spec import DEFAULTS, LATER, RunSpec, flat, read_spec
from deadtokens.study.config import flatten, nest
from deadtokens.study.study import CorpusText, Study

OTHER = {
    "vocabulary": "bpe-300-01234567",
    "precision": "fp32",
    "seed": 1,
    "batch": 17,
    "context": 65,
    "width": 66,
    "layers": 3,
    "heads": 4,
    "activation": "relu",
    "mlp_residual": False,
    "logit_spread": "constant",
    "tied": False,
    "init_std": 0.03,
    "embedding_std": 0.02,
    "batch_seed": 0,
    "bfloat16_start": True,
    "optimizer": "coupled-adam",
    "lr": 0.002,
    "warmup": 1,
    "beta1": 0.8,
    "beta2": 0.99,
    "eps": 1e-9,
    "weight_decay": 0.1,
    "clip": 1.0,
    "device": "cpu",
    "threads": 2,
    "record.tensors": ["W"],
    "record.pathways": True,
    "record.segment": 250,
}
DEFAULTS_FLAT = flat(DEFAULTS)
VARIED = ("embedding_std", "record.tensors", "record.segment", "precision")
SPELLINGS = [
    ("lr", ["1e-3", "0.001", 0.001, 1e-3, "1E-3", ".001"]),
    ("lr", [1, 1.0, "1", "1.0", "1e0"]),
    ("batch", [16, 16.0, "16", " 16 "]),
    ("eps", ["1e-8", "1.0e-08", 1e-8]),
    ("weight_decay", [0, 0.0, "0"]),
    ("tied", [True, "true", "yes", "on"]),
    ("record.tensors", [["W", "exp_avg"], ["exp_avg", "W"], ["W", "exp_avg", "W"]]),
]


def spec(**values) -> RunSpec:
    return RunSpec.model_validate(nest(flat(DEFAULTS) | values))


def only_run(config) -> str:
    (run,) = Study(config).runs
    return run


def test_the_other_values_cover_every_key_of_a_run():
    assert set(OTHER) == set(flat(DEFAULTS))


@pytest.mark.parametrize("key", flat(DEFAULTS))
def test_every_key_is_part_of_the_identity(key):
    other = spec(**{key: OTHER[key]})
    assert other.json_text() != DEFAULTS.json_text()
    assert other.identity().rpartition("_")[2] != DEFAULTS.identity().rpartition("_")[2]


def test_a_key_that_came_later_renames_no_run():
    """Names that runs had before there was any key of `LATER`."""
    assert DEFAULTS.identity() == "default_fb235c81"
    assert spec(precision="fp32").identity() == "precision-fp32_bd3f58fc"
    assert not LATER.keys() & json.loads(DEFAULTS.json_text()).keys()
    assert read_spec(DEFAULTS.json_text()) == DEFAULTS
    assert "batch_seed-0" in spec(batch_seed=0).identity()
    assert "mlp_residual-False" in spec(mlp_residual=False).identity()


def test_no_two_of_these_runs_share_an_identity():
    identities = {spec(**{key: value}).identity() for key, value in OTHER.items()}
    assert len(identities | {DEFAULTS.identity()}) == len(OTHER) + 1


def test_steps_are_no_part_of_the_identity():
    study = Study(with_experiment(vary={"steps": [500, 3000]}))
    assert len(study.runs) == 1
    assert [member.steps for member in study.members] == [500, 3000]
    assert [len(study.segments(member.run, member.steps)) for member in study.members] == [1, 6]


@pytest.mark.parametrize(("key", "spellings"), SPELLINGS)
def test_spelling_is_no_part_of_the_identity(key, spellings):
    texts = {spec(**{key: spelling}).json_text() for spelling in spellings}
    runs = {only_run(with_experiment(set={key: spelling})) for spelling in spellings}
    assert len(texts) == len(runs) == 1


@given(
    st.permutations(list(DEFAULTS.model_dump())),
    st.permutations(list(DEFAULTS.model_dump()["record"])),
)
def test_the_order_of_keys_is_no_part_of_the_text(names, recorded):
    values = DEFAULTS.model_dump()
    shuffled = {name: values[name] for name in names}
    shuffled["record"] = {name: values["record"][name] for name in recorded}
    assert RunSpec.model_validate(shuffled).json_text() == DEFAULTS.json_text()


def test_the_text_is_read_back():
    other = spec(**OTHER | {"width": 68, "record.pathways": False})
    assert read_spec(other.json_text()) == other
    assert json.loads(other.json_text())["record"]["segment"] == 250


def test_a_spec_of_a_study_is_what_reading_its_text_gives():
    """It was validated with the steps, and is not again without them."""
    vary = {key: [DEFAULTS_FLAT[key], value] for key, value in OTHER.items() if key in VARIED}
    specs = Study(with_experiment(vary=vary, set={"lr": "1e-3", "tied": "yes"})).runs.values()
    assert len(specs) == 2 ** len(VARIED)
    for one in specs:
        assert type(one) is RunSpec
        assert read_spec(one.json_text()) == one
        assert (one.lr, one.tied) == (0.001, True)


def test_the_readable_part_says_what_differs_from_the_package():
    assert re.fullmatch(r"default_[0-9a-f]{8}", DEFAULTS.identity())
    name = spec(precision="fp32", **{"record.segment": 250}).identity()
    assert re.fullmatch(r"precision-fp32_record\.segment-250_[0-9a-f]{8}", name)


def test_the_default_study_keeps_its_names():
    """The results of everybody who ran it carry these: a change of them retrains."""
    study = Study(DEFAULT)
    assert list(study.corpora) == ["kjv-e7f43565", "thai-words-9e928385"]
    assert list(study.vocabularies) == ["bpe-4096-0c2032b9"]
    assert list(study.runs) == ["default_039c71be", "precision-fp32_9a2e60f6"]


def relabelled() -> dict:
    """Return the default configuration with another name for everything that has one."""
    config = copy.deepcopy(DEFAULT)
    config["corpora"] = {"thai": config["corpora"]["thai-words"], "bible": config["corpora"]["kjv"]}
    config["vocabularies"] = {
        "mixture": {
            "size": 4096,
            "training_corpus": "bible",
            "tokenizer_corpora": ["bible", "thai"],
        }
    }
    config["defaults"]["vocabulary"] = "mixture"
    config["experiments"] = {
        "formats": {"vary": {"precision": ["fp32", "pure-bf16"]}, "title": "Other words"}
    }
    return config


def test_labels_and_order_are_no_part_of_any_identity():
    ours, theirs = Study(DEFAULT), Study(relabelled())
    assert theirs.runs == ours.runs
    assert theirs.vocabularies == ours.vocabularies
    assert theirs.corpora == ours.corpora
    assert set(theirs.members) == set(ours.members)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 4097),
        ("unused", 1),
        ("training_corpus", "thai-words"),
        ("tokenizer_corpora", ["kjv"]),
    ],
)
def test_what_makes_a_vocabulary_is_part_of_its_runs(key, value):
    study = Study(changed(f"vocabularies.english-thai.{key}", value))
    assert not set(study.runs) & set(Study(DEFAULT).runs)


def test_without_unused_rows_a_vocabulary_keeps_its_name():
    (plain,) = Study(changed("vocabularies.english-thai.unused", 0)).vocabularies
    (reserved,) = Study(changed("vocabularies.english-thai.unused", 700)).vocabularies
    assert plain == "bpe-4096-0c2032b9"
    assert re.fullmatch(r"bpe-4096-[0-9a-f]{8}", reserved) and reserved != plain


def local_study(folder, text: str, name: str = "mine") -> Study:
    path = folder / f"{name}.txt"
    path.write_text(text)
    config = changed("corpora.local", {"path": str(path)})
    config["vocabularies"]["english-thai"]["training_corpus"] = "local"
    return Study(config)


def test_a_local_text_counts_by_its_content(tmp_path):
    one, other, again = (local_study(tmp_path, text) for text in ("a" * 99, "b" * 99, "a" * 99))
    assert set(one.runs) == set(again.runs)
    assert not set(one.runs) & set(other.runs)


def test_a_local_text_with_its_digest_is_the_same_corpus(tmp_path):
    study = local_study(tmp_path, "a" * 99)
    (mine,) = (corpus for corpus in study.corpora.values() if corpus.path)
    assert mine.sha256 == hashlib.sha256(b"a" * 99).hexdigest()
    config = changed("corpora.local", {"path": mine.path, "sha256": mine.sha256})
    config["vocabularies"]["english-thai"]["training_corpus"] = "local"
    assert Study(config).runs == study.runs


def test_a_corpus_is_named_by_origin_and_digest():
    local = CorpusText(None, "texts/Ä tale (1).txt", "0123456789abcdef", 1)
    assert local.identity == "Ä-tale--1--01234567"


@pytest.mark.parametrize("stem", ["ก" * 82, "x" * 250, "é" + "ก" * 81])
def test_a_corpus_of_a_long_file_name_leaves_room_for_endings(stem):
    name = CorpusText(None, f"{stem}.txt", "0123456789abcdef", 1).identity
    assert len(name.encode()) <= 89
    assert name.endswith("-01234567")
    assert stem.startswith(name.rpartition("-")[0])


def test_experiments_that_ask_for_the_same_run_share_it():
    config = changed("experiments.second", {"set": {"precision": "fp32"}, "seeds": ["0"]})
    study = Study(config)
    assert len(study.runs) == 2
    (shared,) = study.experiments["second"].members
    assert shared in study.experiments["regimes"].members
    assert len(study.members) == 2


def test_what_is_asked_for_twice_is_one_run():
    config = with_experiment(vary={"lr": [0.001, "1e-3"]}, runs=[{}], seeds=[0])
    assert len(Study(config).members) == 1


def precisions_and_seeds(config) -> list[tuple]:
    return [(run.precision, run.lr, run.seed) for run in Study(config).runs.values()]


def test_vary_multiplies_and_runs_add_each_for_every_seed():
    config = with_experiment(
        set={"lr": 0.1},
        vary={"precision": ["fp32", "mixed"], "lr": [1, 2]},
        runs=[{"precision": "bf16-weights"}],
        seeds=[3, 4],
    )
    varied = [(name, lr) for name in ("fp32", "mixed") for lr in (1, 2)]
    expected = [(*run, seed) for run in [*varied, ("bf16-weights", 0.1)] for seed in (3, 4)]
    assert precisions_and_seeds(config) == expected


def test_an_experiment_that_says_nothing_is_the_run_of_the_defaults():
    config = with_experiment()
    config["defaults"] |= {"seed": 7, "lr": 0.5}
    assert precisions_and_seeds(config) == [("pure-bf16", 0.5, 7)]


def test_runs_alone_do_not_add_the_defaults():
    assert precisions_and_seeds(with_experiment(runs=[{"lr": 0.5}])) == [("pure-bf16", 0.5, 0)]


@pytest.mark.parametrize(
    "experiment",
    [
        {"set": {"record.segment": 250}},
        {"set": {"record": {"segment": 250}}},
        {"vary": {"record.segment": [250]}},
        {"vary": {"record": [{"segment": 250}]}},
        {"runs": [{"record": {"segment": 250}}]},
    ],
)
def test_nested_keys_are_set_with_and_without_a_dot(experiment):
    study = Study(with_experiment(**experiment))
    (run,) = study.runs.values()
    assert run.record.segment == 250
    assert run.record.tensors == DEFAULTS.record.tensors


NAMES = st.text(st.characters(exclude_characters="."), min_size=1, max_size=3)
LEAVES = st.none() | st.integers() | st.lists(st.integers(), max_size=2) | st.just({})
NESTED = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3), max_leaves=6
    ),
    max_size=3,
)


@given(NESTED)
def test_nest_is_the_inverse_of_flatten(values):
    flat_values = flatten(values)
    assert nest(flat_values) == values
    assert not any(isinstance(value, dict) and value for value in flat_values.values())


def test_flatten_writes_dots():
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e": [2]}) == {"a.b.c": 1, "a.d": {}, "e": [2]}
