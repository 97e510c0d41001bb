"""Mistakes in a configuration, each told in one sentence."""

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError

from deadtokens.errors import UserError
from deadtokens.models import Model

NAME = r"^[a-z0-9][a-z0-9-]{0,79}$"
DIGEST = r"^[0-9a-f]{64}$"
PATTERNS = {
    NAME: "lower-case letters, digits and hyphens, at most 80 of them",
    DIGEST: "64 hexadecimal digits in lower case",
}
LONGEST = 80  # characters of a wrong value that a sentence repeats

_WANTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_type": "a whole number",
    "invalid_key": "text",
    "list_type": "a list",
    "model_type": "a mapping of keys to values",
    "string_type": "text",
}


@dataclass(frozen=True)
class Place:
    """Where the keys of a model stand in the configuration.

    Attributes
    ----------
    section : str
        Path of the section that they stand in; empty for the whole configuration.
    moved : mapping of str to str
        Keys that stand elsewhere in the section, such as ``lr`` in ``vary.lr``.
    """

    section: str = ""
    moved: Mapping[str, str] = field(default_factory=dict)

    def of(self, key: str) -> str:
        """Return the whole path of a dotted key; of the empty key, that of the section."""
        for name, written in self.moved.items():
            if f"{key}.".startswith(f"{name}."):
                key = written + key.removeprefix(name)
                break
        return ".".join(part for part in (self.section, key) if part)


WHOLE = Place()


def build(model: type[Model], values: Any, place: Place = WHOLE) -> Any:
    """Validate `values` as `model`.

    Raises
    ------
    UserError
        A sentence for each mistake: the key's path, what is wrong, what to do.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError("\n".join(_sentences(error, model, place))) from None


def _sentences(error: ValidationError, model: type[Model], place: Place) -> Iterator[str]:
    for mistake in error.errors():
        of_the_key = mistake["loc"][-1:] == ("[key]",) or mistake["type"] == "invalid_key"
        path = ".".join(str(part) for part in mistake["loc"] if part != "[key]")
        reason = ("the key " if of_the_key else "") + _reason(mistake, model)
        named, _, rest = reason.partition(": ")
        if mistake["type"] == "value_error" and rest and named in _known_keys(model):
            path, reason = f"{path}.{named}".lstrip("."), rest
        yield f"{place.of(path) or 'the configuration'}: {reason}"


def _reason(mistake: dict, model: type[Model]) -> str:
    given = "but is empty" if mistake["input"] is None else f"not {shown(mistake['input'])}"
    match mistake["type"]:
        case "extra_forbidden":
            *path, last = mistake["loc"]
            return "unknown key" + suggestion(str(last), _model_at(model, path).model_fields)
        case "missing":
            return "this key is missing"
        case "literal_error":
            expected = mistake["ctx"]["expected"]
            near = nearest(mistake["input"], re.findall(r"'(.*?)'", expected))
            return f"must be {expected}, {given}{near}"
        case "too_short":
            return "must have at least one entry"
        case "string_pattern_mismatch":
            return f"must consist of {PATTERNS[mistake['ctx']['pattern']]}, {given}"
        case "value_error":
            return str(mistake["ctx"]["error"])
        case kind if kind in _WANTED:
            return f"must be {_WANTED[kind]}, {given}"
        case _:
            return f"{mistake['msg'].replace('Input should', 'must')}, {given}"


def shown(value: Any) -> str:
    """Return a wrong value as a sentence repeats it: as in YAML, on one line, cut if long."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _model_at(model: type[Model], path: Sequence[Any]) -> type[Model]:
    """Return the model that the keys of `path` lead to."""
    for part in path:
        if part in model.model_fields:
            model = _model_within(model.model_fields[part].annotation) or model
    return model


def _model_within(annotation: Any) -> type[Model] | None:
    """Return the model of which `annotation` is, or holds, values: of dict[str, M] it is M."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next(filter(None, map(_model_within, get_args(annotation))), None)


def suggestion(key: str, known: Collection[str]) -> str:
    """Return '; did you mean ...?' with the nearest known key, or the list of all."""
    if near := nearest(key, known):
        return near
    return f"; known are {', '.join(known)}" if known else "; there are none"


def require(entries: Collection[str], name: str, where: str, section: str) -> None:
    """Refuse a name that is not that of an entry of a section of the configuration."""
    if name not in entries:
        hint = suggestion(name, list(entries))
        raise UserError(f"{where}: {name!r} is not an entry of `{section}`{hint}")


def nearest(value: Any, known: Collection[str]) -> str:
    """Return '; did you mean ...?' with the nearest known word, or nothing if none is near."""
    near = difflib.get_close_matches(str(value), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _known_keys(model: type[Model]) -> list[str]:
    """Return the names of the model's keys and of its nested models' keys."""
    names = []
    for name, info in model.model_fields.items():
        names.append(name)
        nested = _model_within(info.annotation)
        names.extend(_known_keys(nested) if nested else [])
    return names
