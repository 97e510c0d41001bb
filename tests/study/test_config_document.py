"""The schema and the README's tables follow from the models, and are up to date."""

import copy
import json
import re
import shutil

import jsonschema
import pytest
from config_data import CONFIG, DEFAULT, REPOSITORY, changed

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import flat
from deadtokens.study.config import RunSettings
from deadtokens.study.document import config_schema, schema_text, tables, with_tables
from deadtokens.study.validation import PATTERNS

SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.json"
README = CONFIG / "README.md"
SECTIONS = (
    "corpora",
    "vocabularies",
    "defaults",
    "defaults.record",
    "machines",
    "experiments",
    "recorded",
    "models",
    "study",
)


@pytest.fixture
def copies(tmp_path):
    """Return copies of the two files."""
    return [shutil.copy(path, tmp_path / path.name) for path in (SCHEMA, README)]


def document(schema, readme, *options) -> None:
    call("config", ["--schema", str(schema), "--readme", str(readme), *options])


def edit(path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def rows(table: str) -> dict[str, list[str]]:
    """Return the cells of a Markdown table by its first column."""
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {key.strip("`"): rest for key, *rest in cells}


def test_the_files_are_up_to_date():
    document(SCHEMA, README, "--check")


DRIFTS = {
    "schema": (0, '"exclusiveMaximum": 4294967296,\n          "minimum": 0,', '"minimum": 1,'),
    "table": (1, "| Transformer blocks. |", "| Blocks. |"),
    "value": (1, "| `4096` |", "| `4095` |"),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drifted_file_is_named_and_left_alone(drift, copies):
    which, old, new = DRIFTS[drift]
    text = copies[which].read_text(encoding="utf-8")
    assert old in text
    copies[which].write_text(text.replace(old, new), encoding="utf-8")
    before = [path.read_bytes() for path in copies]
    with pytest.raises(UserError, match=f"^{copies[which]} no longer says"):
        document(*copies, "--check")
    assert [path.read_bytes() for path in copies] == before
    document(*copies)
    document(*copies, "--check")
    assert copies[which].read_text(encoding="utf-8") == text


def test_prose_outside_the_generated_parts_is_kept(copies):
    _, readme = copies
    edit(readme, "# Configuration\n", "# Configuration, in other words\n")
    document(*copies, "--check")
    before = readme.read_bytes()
    document(*copies)
    assert readme.read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<!-- generated: keys of corpora -->", ""),
        ("<!-- generated: keys of corpora -->", "<!-- generated: keys of corpses -->"),
        ("<!-- generated: keys of corpora -->", "<!-- generated: keys of defaults -->"),
    ],
)
def test_a_section_without_its_part_is_a_mistake(old, new, copies):
    edit(copies[1], old, new)
    with pytest.raises(UserError, match="the README has generated parts for defaults, "):
        document(*copies)


def test_a_missing_file_is_a_mistake(tmp_path, copies):
    with pytest.raises(UserError, match=r"none\.json cannot be read \(No such file"):
        document(tmp_path / "none.json", copies[1], "--check")
    with pytest.raises(UserError, match=r"none\.md cannot be read \(No such file"):
        document(copies[0], tmp_path / "none.md")


def test_a_missing_schema_is_written(tmp_path, copies):
    document(tmp_path / "schemas" / "new.json", copies[1])
    assert (tmp_path / "schemas" / "new.json").read_bytes() == SCHEMA.read_bytes()


def test_there_is_a_table_of_every_section():
    assert set(tables(config_schema())) == set(SECTIONS)


def test_the_tables_list_every_key_of_a_run_once():
    found = tables(config_schema())
    keys = [*rows(found["defaults"]), *rows(found["defaults.record"])]
    assert sorted(keys) == sorted(flat(RunSettings()))


@pytest.mark.parametrize(
    ("section", "key", "cells"),
    [
        ("defaults", "batch", ["Sequences in a batch.", "sequences", "`16`", "whole number, ≥ 1"]),
        ("defaults", "eps", [..., "", "`1.0e-08`", "number, > 0"]),
        ("defaults", "clip", [..., "", "`null`", "number, > 0 or `null`"]),
        ("defaults", "beta2", [..., "per update", "`0.999`", "number, ≥ 0, < 1"]),
        ("defaults", "tied", [..., "", "`true`", "`true`, `false`"]),
        ("defaults", "activation", ["Activation of the MLP.", "", "`gelu`", "`gelu`, `relu`"]),
        ("defaults.record", "record.segment", [..., "updates", "`500`", "whole number, ≥ 1"]),
        (
            "defaults.record",
            "record.tensors",
            [
                ...,
                "",
                "`[W, grad, exp_avg, exp_avg_sq]`",
                "list of: `W`, `grad`, `exp_avg`, `exp_avg_sq`, `compensation`",
            ],
        ),
        ("corpora", "source", [..., "", "`null`", "`kjv`, `thai-words` or `null`"]),
        ("corpora", "sha256", [..., "", "`null`", "64 hexadecimal digits in lower case or `null`"]),
        ("vocabularies", "training_corpus", [..., "", "required", "text"]),
        ("vocabularies", "tokenizer_corpora", [..., "", "required", "list of: text; at least 1"]),
        ("experiments", "title", [..., "", "`''`", "text"]),
        ("experiments", "vary", [..., "", "`{}`", "mapping of keys, each to a list; at least 1"]),
        ("experiments", "seeds", [..., "", "`[]`", "list of: whole number, ≥ 0, < 4294967296"]),
    ],
)
def test_a_row_says_what_the_model_says(section, key, cells):
    found = rows(tables(config_schema())[section])[key]
    assert [cell.strip() for cell in found][1:] == cells[1:]
    assert cells[0] in (..., found[0])


def test_every_key_has_a_description():
    models = [config_schema(), *config_schema()["$defs"].values()]
    fields = [field for model in models for field in model["properties"].values()]
    assert len(fields) > 30
    assert all(field["description"].strip() for field in fields)


def test_every_pattern_can_be_told_in_words():
    text = json.dumps(config_schema())
    assert all(json.dumps(pattern)[1:-1] in text for pattern in PATTERNS)
    assert text.count('"pattern"') == 1
    assert text.count('"patternProperties"') == 5


def test_a_vertical_bar_stays_in_its_cell():
    schema = copy.deepcopy(config_schema())
    schema["$defs"]["Corpus"]["properties"]["path"]["description"] = "this | that [a|b]"
    assert r"| this \| that | a\|b |" in tables(schema)["corpora"]


def test_the_schema_is_sorted_and_valid():
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema_text() == json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def accepts(config) -> bool:
    return jsonschema.Draft202012Validator(config_schema()).is_valid(config)


def test_the_schema_takes_the_default_configuration():
    assert accepts(DEFAULT)


@pytest.mark.parametrize("defaults", [{}, {"lr": 0.1}, {"record": {}}, {"record": {"segment": 5}}])
def test_the_schema_takes_partial_defaults(defaults):
    assert accepts(changed("defaults", defaults))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("defualts", {}),
        ("defaults.precison", "fp32"),
        ("defaults.record.segmet", 5),
        ("corpora.kjv.sorce", "kjv"),
        ("vocabularies.english-thai.sise", 300),
        ("experiments.regimes.varry", {}),
        ("corpora.Not a name", {"source": "kjv"}),
        ("corpora.kjv.source", "kjb"),
        ("defaults.precision", "fp8"),
        ("defaults.batch", 0),
        ("defaults.batch", True),
        ("defaults.beta1", 1),
        ("defaults", None),
        ("experiments", {}),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(path, value):
    assert not accepts(changed(path, value))


def test_generated_parts_do_not_depend_on_what_stood_there():
    text = README.read_text(encoding="utf-8")
    emptied = re.sub(r"(keys of \S+ -->\n).*?(?=<!-- end)", r"\1", text, flags=re.DOTALL)
    assert "`exp_avg_sq`" in text
    assert "`exp_avg_sq`" not in emptied
    assert with_tables(emptied) == with_tables(text) == text


FORMATS = {"bf16": "bfloat16", "fp32": "float32"}
UPDATES = {
    "torch's AdamW": ("torch", None),
    "torch's AdamW, with a bf16 compensation": ("torch", "bfloat16"),
    "in float32, results rounded once": ("rounded", None),
    "in float32, weights rounded stochastically": ("stochastic", None),
}


def test_the_table_of_regimes_is_that_of_the_package():
    text = README.read_text(encoding="utf-8").partition("## Regimes\n")[2]
    lines = [line for line in text.partition("\n`")[0].splitlines() if line.startswith("| `")]
    rows = [[cell.strip("| `") for cell in line.split(" | ")] for line in lines]
    found = {
        name: (*(FORMATS[cell] for cell in row), *UPDATES[update]) for name, *row, update in rows
    }
    assert found == {
        name: (it.weights, it.moments, it.parameters, it.arithmetic, it.update, it.compensation)
        for name, it in REGIMES.items()
    }
