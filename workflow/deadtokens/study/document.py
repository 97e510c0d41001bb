"""Write what the configuration's models say: its JSON schema, and the tables of config/README.md.

The string under a field is its description, with the unit last in brackets; types and bounds come
from the annotations. Nothing about a key is written a second time by hand.
"""

import json
import logging
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.study.config import Config
from deadtokens.study.validation import PATTERNS

log = logging.getLogger(__name__)

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TOP = "study"
HEADER = "| Key | Meaning | Unit | Default | Allowed |\n|---|---|---|---|---|"
GENERATED = re.compile(
    r"(?<=<!-- generated: keys of )(?P<section>\S+) -->\n.*?(?=<!-- end of generated -->)",
    re.DOTALL,
)
DESCRIPTION = re.compile(r"(?P<meaning>.*?)(?: \[(?P<unit>[^][]+)\])?")
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
TYPES = {"integer": "whole number", "number": "number", "null": "`null`", "object": "mapping"}


def config_schema() -> dict[str, Any]:
    """Return the configuration's JSON schema, keys in the order of the models."""
    return {"$schema": DIALECT, **Config.model_json_schema()}


def tables(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return a Markdown table of every section's keys.

    Parameters
    ----------
    schema : mapping
        JSON schema of the configuration.

    Returns
    -------
    dict of str to str
        By dotted section, such as ``defaults.record``; of named entries, by what holds them; of
        keys that stand in no section, by `TOP`.
    """
    definitions = schema["$defs"]
    rows, found = [HEADER], {}
    for section, field in schema["properties"].items():
        model = _model_of(field, definitions)
        if model is None:
            rows.append(_row(section, field))
        else:
            found |= _tables(section, model, "", definitions)
    return {TOP: "\n".join(rows)} | found


def _tables(
    section: str, model: Mapping[str, Any], prefix: str, definitions: Mapping[str, Any]
) -> dict[str, str]:
    rows, nested = [HEADER], {}
    for key, field in model["properties"].items():
        inner = _model_of(field, definitions)
        if inner is None:
            rows.append(_row(f"{prefix}{key}", field))
        else:
            nested |= _tables(f"{section}.{key}", inner, f"{prefix}{key}.", definitions)
    return {section: "\n".join(rows)} | nested


def _model_of(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """Return the model of which a field is, or of which it holds named entries; else None."""
    entries = list(field.get("patternProperties", {}).values())
    references = [one["$ref"] for one in (field, *entries) if "$ref" in one]
    return definitions[references[0].removeprefix("#/$defs/")] if references else None


def _row(key: str, field: Mapping[str, Any]) -> str:
    meaning, unit = DESCRIPTION.fullmatch(" ".join(field["description"].split())).groups()
    default = f"`{_yaml(field['default'])}`" if "default" in field else "required"
    cells = (f"`{key}`", meaning, unit or "", default, _allowed(field))
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _yaml(value: Any) -> str:
    """Return a value as it is written after a key."""
    return yaml.safe_dump([value], default_flow_style=True, width=1_000).strip()[1:-1]


def _allowed(field: Mapping[str, Any]) -> str:
    """Return in words which values a field's schema allows."""
    match field:
        case {"anyOf": choices}:
            return " or ".join(_allowed(choice) for choice in choices)
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "boolean"}:
            return "`true`, `false`"
        case {"type": "array"}:
            shortest = f"; at least {field['minItems']}" if "minItems" in field else ""
            return f"list{_of(field.get('items'))}{shortest}"
        case {"type": "object", "additionalProperties": {"type": _} as values}:
            return f"mapping of keys, each to a {_allowed(values)}"
        case {"type": "string"}:
            return PATTERNS[field["pattern"]] if "pattern" in field else "text"
    bounds = [f"{sign} {field[bound]}" for bound, sign in BOUNDS.items() if bound in field]
    return ", ".join([TYPES[field["type"]], *bounds])


def _of(items: Mapping[str, Any] | None) -> str:
    return f" of: {_allowed(items)}" if items else ""


def schema_text() -> str:
    """Return the JSON schema as its file holds it."""
    return json.dumps(config_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def with_tables(text: str) -> str:
    """Return the README's text with its generated parts made anew.

    Raises
    ------
    UserError
        If a section has no generated part, or a part belongs to no section.
    """
    wanted = tables(config_schema())
    present = [part["section"] for part in GENERATED.finditer(text)]
    if sorted(present) != sorted(wanted):
        raise UserError(
            f"the README has generated parts for {', '.join(present) or 'nothing'}; it needs one "
            f"each for {', '.join(wanted)}, between `<!-- generated: keys of SECTION -->` and "
            "`<!-- end of generated -->`"
        )
    return GENERATED.sub(
        lambda part: f"{part['section']} -->\n\n{wanted[part['section']]}\n\n", text
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"the file {path} cannot be read ({error.strerror})") from None


def _check(texts: Mapping[Path, str]) -> None:
    drifted = [str(path) for path, text in texts.items() if _read(path) != text]
    if drifted:
        raise UserError(
            f"{' and '.join(drifted)} no longer says what the models say; "
            "run the command without --check (`make docs`)"
        )


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--schema", type=Path, required=True, help="JSON schema to write")
    parser.add_argument("--readme", type=Path, required=True, help="README with generated tables")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail if a file differs"
    )


def main(options: Namespace) -> None:
    """Run the command ``config``."""
    texts = {options.schema: schema_text(), options.readme: with_tables(_read(options.readme))}
    if options.check:
        _check(texts)
        return
    for path, text in texts.items():
        with complete_or_absent(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    log.info("config: %s and the tables of %s are written", options.schema, options.readme)
