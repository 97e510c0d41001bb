"""Every mistake in a configuration is a sentence that begins with the key's path."""

import re

import pytest
import yaml
from config_data import DEFAULT, changed, with_experiment
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.errors import UserError
from deadtokens.run.spec import DEFAULTS, flat
from deadtokens.study.study import Study
from deadtokens.study.validation import Place, shown

MAPPING = "must be a mapping of keys to values"

IN_SECTIONS = [
    # misspelt, at each depth
    ("defualts", {}, "defualts: unknown key; did you mean 'defaults'?"),
    ("defaults.precison", "fp32", "defaults.precison: unknown key; did you mean 'precision'?"),
    ("defaults.record.segmet", 5, "defaults.record.segmet: unknown key; did you mean 'segment'?"),
    ("corpora.kjv.sorce", "kjv", "corpora.kjv.sorce: unknown key; did you mean 'source'?"),
    (
        "vocabularies.english-thai.sise",
        300,
        "vocabularies.english-thai.sise: unknown key; did you mean 'size'?",
    ),
    (
        "experiments.regimes.varry",
        {},
        "experiments.regimes.varry: unknown key; did you mean 'vary'?",
    ),
    ("corpora.kjv.x", 1, "corpora.kjv.x: unknown key; known are source, path, sha256"),
    # wrong type
    ("defaults.batch", "many", "defaults.batch: must be a whole number, not 'many'"),
    ("defaults.batch", 1.5, "defaults.batch: must be a whole number, not 1.5"),
    ("defaults.steps", "5e3", "defaults.steps: must be a whole number, not '5e3'"),
    ("defaults.batch", "9" * 5000, f"must be a whole number of fewer digits, not '{'9' * 79}..."),
    ("defaults.lr", [0.1], "defaults.lr: must be a number, not [0.1]"),
    ("defaults.lr", "fast", "defaults.lr: must be a number, not 'fast'"),
    ("defaults.tied", 2, "defaults.tied: must be true or false, not 2"),
    ("defaults.vocabulary", 7, "defaults.vocabulary: must be text, not 7"),
    ("defaults.record.tensors", "W", "defaults.record.tensors: must be a list, not 'W'"),
    ("corpora.kjv.source", ["kjv"], "corpora.kjv.source: must be 'kjv' or 'thai-words', not ["),
    ("experiments.regimes.seeds", 0, "experiments.regimes.seeds: must be a list, not 0"),
    # a truth value as a number; the others are in a test below
    ("defaults.clip", True, "defaults.clip: true is a truth value where a number is needed"),
    ("experiments.regimes.seeds", [1, True], "experiments.regimes.seeds: true is a truth value"),
    # the same one twice
    ("experiments.regimes.seeds", [0, 1, 0], "experiments.regimes.seeds: names 0 twice; name it"),
    ("seeds", [5, 5], "seeds: names 5 twice; name it once"),
    (
        "experiments.regimes.vary",
        {"lr": [1e-3, 1e-4, 0.001]},
        "experiments.regimes.vary.lr: names 0.001 twice; name it once",
    ),
    # impossible values
    ("defaults.heads", 3, "defaults.heads: 3 heads do not divide the width 64"),
    ("defaults.batch", 0, "defaults.batch: must be greater than or equal to 1, not 0"),
    ("defaults.lr", 0, "defaults.lr: must be greater than 0, not 0"),
    ("defaults.lr", float("nan"), "defaults.lr: must be a finite number, not nan"),
    ("defaults.lr", "1e-400", "defaults.lr: must be greater than 0, not '1e-400'"),
    # numbers that float32, the format of every update, does not hold
    (
        "defaults.eps",
        1e-50,
        "defaults.eps: 1e-50 is too small for float32, the format of",
    ),
    ("defaults.eps", 1e39, "defaults.eps: 1e+39 is too large for float32"),
    ("defaults.init_std", 1e-39, "defaults.init_std: 1e-39 is too small for float32"),
    ("defaults.clip", "1e300", "defaults.clip: 1e+300 is too large for float32"),
    ("defaults.weight_decay", 1e-300, "weight_decay: 1e-300 is too small for float32"),
    ("defaults.lr", 1e39, "defaults.lr: 1e+39 is too large for float32, the format of the update"),
    ("defaults.lr", 4e37, "defaults.lr: 4e+37 / (1 - beta1) is too large for float32, the format"),
    ("defaults", {"lr": 1e30, "beta1": 1 - 1e-10}, "lr: 1e+30 / (1 - beta1) is too large for"),
    ("defaults.weight_decay", float("inf"), "defaults.weight_decay: must be a finite number"),
    ("defaults.beta1", float("nan"), "defaults.beta1: must be less than 1, not nan"),
    ("defaults.beta2", 1.0, "defaults.beta2: must be less than 1, not 1.0"),
    ("defaults.seed", 2**32, "defaults.seed: must be less than 4294967296, not 4294967296"),
    (
        "defaults.steps",
        700,
        "defaults.steps: 700 is not a multiple of record.segment, 500; "
        "take 500 or 1000 steps, or another segment",
    ),
    (
        "defaults.steps",
        70,
        "defaults.steps: 70 is not a multiple of record.segment, 500; take 500 steps, or",
    ),
    (
        "defaults.context",
        5_000_000,
        "defaults.context: 5000000 tokens need a longer text than the 4142587 bytes of kjv",
    ),
    ("vocabularies.english-thai.size", 255, "size: must be greater than or equal to 256, not 255"),
    (
        "vocabularies.english-thai.unused",
        3841,
        "vocabularies.english-thai.unused: 3841 of 4096 tokens leave no room for the 256 bytes; "
        "take at most 3840",
    ),
    ("vocabularies.english-thai.unused", -1, "unused: must be greater than or equal to 0, not -1"),
    (
        "vocabularies.english-thai.tokenizer_corpora",
        [],
        "vocabularies.english-thai.tokenizer_corpora: must have at least one entry",
    ),
    (
        "defaults.record.tensors",
        ["exp_avg"],
        "defaults.record.tensors: must contain 'W', or 'grad'",
    ),
    (
        "defaults.record",
        {"tensors": ["W"], "pathways": True},
        "defaults.record.pathways: are the parts of 'grad', which `tensors` must contain",
    ),
    (
        "defaults",
        {"tied": False, "record": {"pathways": True}},
        "defaults.tied: must be true where record.pathways is (an untied W has one pathway",
    ),
    (
        "defaults.precision",
        "fp23",
        "defaults.precision: must be 'pure-bf16', 'bf16-once', 'bf16-weights', 'bf16-stochastic', ",
    ),
    (
        "defaults",
        {"optimizer": "sgd", "beta2": 0.99},
        "defaults.beta2: belongs to the second moment, which sgd has not; leave it at 0.999, or",
    ),
    ("defaults", {"optimizer": "sgd", "eps": 1e-6}, "defaults.eps: belongs to the second moment"),
    ("defaults.optimizer", "adam", "defaults.optimizer: must be 'adamw', 'sgd' or 'coupled-adam'"),
    ("defaults.record.tensors", ["W", "v"], "defaults.record.tensors.1: must be 'W', 'grad', "),
    # names that lead nowhere
    (
        "defaults.vocabulary",
        "english-tahi",
        "defaults.vocabulary: 'english-tahi' is not an entry of `vocabularies`; "
        "did you mean 'english-thai'?",
    ),
    (
        "vocabularies.english-thai.training_corpus",
        "kvj",
        "vocabularies.english-thai.training_corpus: 'kvj' is not an entry of `corpora`; "
        "did you mean 'kjv'?",
    ),
    (
        "vocabularies.english-thai.tokenizer_corpora",
        ["kjv", "lao"],
        "tokenizer_corpora: 'lao' is not an entry of `corpora`; known are kjv, thai-words",
    ),
    ("corpora", {}, "'kjv' is not an entry of `corpora`; there are none"),
    # factors
    ("experiments.regimes.factors", ["wieghts"], "factors.0: must be 'weights', 'moments', "),
    (
        "experiments.regimes.factors",
        ["update"],
        "experiments.regimes.factors: the regimes pure-bf16 and fp32 both have update torch; add a",
    ),
    # corpora
    ("corpora.kjv", {}, "corpora.kjv: needs either `source` or `path`"),
    ("corpora.kjv.path", "a.txt", "corpora.kjv: has both `source` and `path`; keep one"),
    ("corpora.kjv.source", "kjb", "corpora.kjv.source: must be 'kjv' or 'thai-words', not 'kjb'"),
    ("corpora.kjv.sha256", "0" * 64, "corpora.kjv.sha256: belongs to `path`; a built-in text"),
    (
        "corpora.kjv",
        {"path": "a.txt", "sha256": "0A" * 32},
        "corpora.kjv.sha256: must consist of 64 hexadecimal digits in lower case, not '0A0A",
    ),
    # sections
    ("corpora", None, f"corpora: {MAPPING}, but is empty"),
    ("vocabularies", None, f"vocabularies: {MAPPING}, but is empty"),
    ("defaults", None, f"defaults: {MAPPING}, but is empty"),
    ("defaults.record", None, f"defaults.record: {MAPPING}, but is empty"),
    ("defaults.batch", None, "defaults.batch: must be a whole number, but is empty"),
    ("defaults.precision", None, "'mixed' or 'fp32', but is empty"),
    ("experiments", None, f"experiments: {MAPPING}, but is empty"),
    ("experiments", {}, "experiments: must have at least one entry"),
    ("experiments.regimes", None, f"experiments.regimes: {MAPPING}, but is empty"),
    ("experiments.regimes.vary", None, f"experiments.regimes.vary: {MAPPING}, but is empty"),
    ("experiments.regimes.runs", None, "experiments.regimes.runs: must be a list, but is empty"),
    ("experiments.regimes.runs", [None], f"experiments.regimes.runs.0: {MAPPING}, but is empty"),
    ("experiments.regimes.title", None, "experiments.regimes.title: must be text, but is empty"),
    ("defaults", [1], f"defaults: {MAPPING}, not [1]"),
    ("corpora", "kjv", f"corpora: {MAPPING}, not 'kjv'"),
    ("experiments.regimes.vary", ["lr"], f"experiments.regimes.vary: {MAPPING}, not ['lr']"),
    # titles that no command line, picture or report can carry
    (
        "experiments.regimes.title",
        "x" * 140_000,
        "title: 140,000 characters are too many",
    ),
    (
        "experiments.regimes.title",
        "a\0b",
        r"title: '\x00' cannot be printed; leave it",
    ),
    ("experiments.regimes.title", "a\nb", r"title: '\n' cannot be printed"),
    ("experiments.regimes.title", "a\ud800", r"title: '\ud800' cannot be printed"),
    (
        "experiments.regimes.title",
        "a</script><img onerror=x>",
        "title: '</' and '<!--' would end",
    ),
    (
        "experiments.regimes.title",
        "a <!-- b",
        "title: '</' and '<!--' would end a part of",
    ),
    # keys that cannot be
    (
        ["experiments", "x" * 81],
        {},
        f"experiments.{'x' * 81}: the key must consist of lower-case letters, digits and hyphens, "
        "at most 80 of them",
    ),
    (
        ["corpora", "My Text"],
        {"source": "kjv"},
        "corpora.My Text: the key must consist of lower-case letters, digits and hyphens",
    ),
    (["experiments", 5], {}, "experiments.5: the key must be text, not 5"),
    (["defaults", 5], 5, "defaults.5: the key must be text, not 5"),
    ([5], 5, "5: the key must be text, not 5"),
]

IN_EXPERIMENTS = [
    ({"vary": {"precison": ["fp32"]}}, "vary.precison: unknown key; did you mean 'precision'?"),
    ({"vary": {"segment": [500]}}, "vary.segment: unknown key; did you mean 'record.segment'?"),
    ({"set": {"record": {"segmet": 5}}}, "set.record.segmet: unknown key; did you mean 'record.se"),
    ({"set": {"lr.x": 1}}, "set.lr.x: unknown key; did you mean 'lr'?"),
    ({"set": {"record": 5}}, "set.record: unknown key; did you mean"),
    ({"set": {"": 5}}, "set.: unknown key; known are vocabulary, precision,"),
    ({"set": {1: 2}}, "set.1: the key must be text, not 1"),
    ({"vary": {"precision": "fp32"}}, "vary.precision: must be a list, not 'fp32'"),
    ({"vary": {"precision": []}}, "vary.precision: must have at least one entry"),
    ({"vary": {"precision": ["fp32", "fp8"]}}, "vary.precision: must be 'pure-bf16', "),
    ({"vary": {"batch": [16, True]}}, "vary.batch: true is a truth value where a number is needed"),
    ({"vary": {"clip": [True]}}, "vary.clip: true is a truth value where a number is needed"),
    ({"vary": {"record.segment": [500, 400]}}, "steps: 1500 is not a multiple of record.segment"),
    ({"set": {"steps": 700}}, "set.steps: 700 is not a multiple of record.segment, 500; take 500"),
    ({"set": {"lr": {}}}, "set.lr: must be a number, not {}"),
    ({"set": {"lr": None}}, "set.lr: must be a number, but is empty"),
    ({"runs": [{}, {"lr": "x"}]}, "runs.1.lr: must be a number, not 'x'"),
    ({"runs": [{"heads": 3}]}, "runs.0.heads: 3 heads do not divide the width 64"),
    ({"runs": [{"width": 3}]}, "heads: 2 heads do not divide the width 3"),
    ({"seeds": [-1]}, "seeds.0: must be greater than or equal to 0, not -1"),
    ({"vary": {"seed": [1, 2]}}, "vary.seed: seeds stand in the list experiments.one.seeds"),
    ({"set": {"seed": 1}}, "set.seed: seeds stand in the list experiments.one.seeds"),
    ({"vary": {"vocabulary": ["lao"]}}, "vary.vocabulary: 'lao' is not an entry of `vocabularies`"),
    ({"figures": "frozen"}, "figures: must be a list, not 'frozen'"),
    ({"figures": ["frosen"]}, "figures.0: must be 'loss', 'frozen', 'still', 'displacement', "),
    ({"vary": {"context": [5_000_000]}}, "vary.context: 5000000 tokens need a longer text than"),
]


def sentence_on(config) -> str:
    with pytest.raises(UserError) as caught:
        Study(config)
    return str(caught.value)


def test_the_default_configuration_has_no_mistake():
    assert len(Study(DEFAULT).runs) == 2


@pytest.mark.parametrize(("path", "value", "expected"), IN_SECTIONS)
def test_a_mistake_in_a_section(path, value, expected):
    sentence = sentence_on(changed(path, value))
    assert expected in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(("experiment", "expected"), IN_EXPERIMENTS)
def test_a_mistake_in_an_experiment(experiment, expected):
    sentence = sentence_on(with_experiment(**experiment))
    assert sentence.startswith(f"experiments.one.{expected}")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "key", ["steps", *(key for key, value in flat(DEFAULTS).items() if not isinstance(value, bool))]
)
def test_no_truth_value_passes_for_something_else(key):
    assert re.match(rf"defaults\.{key}(\.\d)?: ", sentence_on(changed(f"defaults.{key}", True)))


@pytest.mark.parametrize("lr", [3e37, 1e-37])
def test_a_learning_rate_that_float32_holds_is_one(lr):
    (run,) = Study(with_experiment(set={"lr": lr})).runs.values()
    assert run.lr == lr


@pytest.mark.parametrize(
    ("key", "value"), [("clip", "null"), ("embedding_std", "null"), ("clip", "1e-3")]
)
def test_a_value_that_snakemake_made_text_of_is_a_value(key, value):
    """``--config 'defaults={clip: null}'`` arrives as text."""
    (run,) = Study(with_experiment(vary={key: [value]})).runs.values()
    assert getattr(run, key) == yaml.safe_load("1.0e-3" if value == "1e-3" else value)


@pytest.mark.parametrize(
    ("config", "near"),
    [
        (with_experiment(figures=["loss", "frosen"]), "frozen"),
        (with_experiment(vary={"precision": ["fp23"]}), "fp32"),
    ],
)
def test_of_a_misspelt_word_the_sentence_says_the_nearest(config, near):
    assert sentence_on(config).endswith(f"; did you mean {near!r}?")


def test_text_is_a_missing_number_only_where_one_may_be_missing():
    assert (
        sentence_on(changed("defaults.lr", "null")) == "defaults.lr: must be a number, not 'null'"
    )


def test_a_title_may_hold_what_shells_and_reports_know():
    title = "-x --log \"$(echo)\" 'a' <img onerror=x> {b} & ก"
    study = Study(with_experiment(title=f"  {title}\n"))
    assert study.experiments["one"].title == title


def test_a_truth_value_is_one_where_it_belongs():
    assert not next(iter(Study(with_experiment(set={"tied": False})).runs.values())).tied


@pytest.mark.parametrize("section", ["corpora", "vocabularies", "experiments"])
def test_a_missing_section(section):
    config = {name: part for name, part in DEFAULT.items() if name != section}
    assert sentence_on(config) == f"{section}: this key is missing"


@pytest.mark.parametrize("config", [None, [], "corpora", 3])
def test_no_mapping_at_all(config):
    assert sentence_on(config).startswith(f"the configuration: {MAPPING}")


def test_several_mistakes_are_a_line_each():
    config = changed("defaults", {"batch": 0, "lr": "x", "steps": 500, "precison": "fp32"})
    assert sorted(sentence_on(config).split("\n")) == [
        "defaults.batch: must be greater than or equal to 1, not 0",
        "defaults.lr: must be a number, not 'x'",
        "defaults.precison: unknown key; did you mean 'precision'?",
    ]


def test_a_section_left_empty_in_yaml():
    config = yaml.safe_load("corpora:\nvocabularies:\ndefaults:\nexperiments:\n")
    lines = sentence_on(config).split("\n")
    assert lines == [f"{section}: {MAPPING}, but is empty" for section in config]


def local_config(path: str) -> dict:
    config = changed("corpora.mine", {"path": path})
    config["vocabularies"]["english-thai"]["training_corpus"] = "mine"
    return config


def test_a_missing_local_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = f"corpora.mine.path: 'mine.txt' is no file; looked for {tmp_path / 'mine.txt'}"
    assert sentence_on(local_config("mine.txt")) == expected


def test_a_folder_for_a_file(tmp_path):
    assert "is no file" in sentence_on(local_config(str(tmp_path)))


@pytest.mark.parametrize("path", ["x" * 300, "a\0b"])
def test_a_file_that_cannot_be(path):
    assert sentence_on(local_config(path)).startswith("corpora.mine.path: ")


def test_an_unreadable_local_file(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("deadtokens.study.study.sha256_of", refuse)
    path = tmp_path / "mine.txt"
    path.write_text("text")
    expected = "cannot be read (Permission denied); check its permissions"
    assert sentence_on(local_config(str(path))).endswith(expected)


@pytest.mark.parametrize(("length", "fits"), [(64, False), (65, True)])
def test_the_context_must_be_shorter_than_the_text(length, fits, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("x" * length)
    config = local_config(str(path))
    if fits:
        assert len(Study(config).runs) == 2
    else:
        assert sentence_on(config).startswith("defaults.context: 64 tokens need a longer text")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 10)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["lr", "record", "vary", "kjv", "english-thai", "fp32"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["lr", "record", "segment", "lr.x", "record.segment", "seed", 1, None]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=4,
)
PATHS = [
    *([section] for section in DEFAULT),
    *(["defaults", key] for key in DEFAULT["defaults"]),
    *(["defaults", "record", key] for key in DEFAULT["defaults"]["record"]),
    *(["experiments", "regimes", key] for key in ("title", "set", "vary", "runs", "seeds")),
    *(["experiments", "regimes", "vary", key] for key in ("lr", "record", "record.segment")),
    *(["corpora", "kjv"], ["corpora", "kjv", "path"], ["corpora", 1], ["experiments", "regimes"]),
    *(["vocabularies", "english-thai"], ["vocabularies", "english-thai", "size"], ["x"]),
]


@given(st.sampled_from(PATHS), VALUES)
def test_no_value_anywhere_gives_more_than_sentences(path, value):
    try:
        Study(changed(path, value))
    except UserError as error:
        for line in str(error).splitlines():
            assert re.match(r"[^ ]+: [^ ]", line), line


def test_a_wrong_value_is_shown_on_one_line_and_cut():
    assert shown("a\nb") == r"'a\nb'"
    assert [shown(value) for value in (None, True, 1)] == ["null", "true", "1"]
    assert len(shown("x" * 500)) == 83


def test_a_place_names_where_a_key_was_written():
    place = Place("experiments.one", {"record.segment": "vary.record.segment", "lr": "set.lr"})
    assert place.of("lr") == "experiments.one.set.lr"
    assert place.of("record.segment.0") == "experiments.one.vary.record.segment.0"
    assert place.of("lrx") == "experiments.one.lrx"
    assert place.of("") == "experiments.one"
    assert Place().of("") == ""
