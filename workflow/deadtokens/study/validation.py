"""Mistakes in a configuration, each told in one sentence."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from deadtokens.errors import UserError
from deadtokens.models import Model


def build(model: type[Model], values: Any, where: str = "") -> Any:
    """Validate `values` as `model`.

    Raises
    ------
    UserError
        A sentence for each mistake: the key's path (`where` before it), what is wrong, what to do.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError("\n".join(_sentences(error, model, where))) from None


def _sentences(error: ValidationError, model: type[Model], where: str) -> Iterator[str]:
    for mistake in error.errors():
        location = ".".join(str(part) for part in (where, *mistake["loc"]) if part != "")
        reason = _reason(mistake, model)
        if mistake["type"] == "value_error" and reason.split(":")[0] in known_keys(model):
            yield f"{location}.{reason}".lstrip(".")
        else:
            yield f"{location}: {reason}".removeprefix(": ")


def _reason(mistake: dict, model: type[Model]) -> str:
    given = mistake["input"]
    match mistake["type"]:
        case "extra_forbidden":
            *path, last = mistake["loc"]
            return "unknown key" + suggestion(str(last), list(_model_at(model, path).model_fields))
        case "missing":
            return "this key is missing"
        case "literal_error":
            return f"{given!r} is not one of {mistake['ctx']['expected']}"
        case "value_error":
            return str(mistake["ctx"]["error"])
        case _:
            return f"{mistake['msg'][0].lower()}{mistake['msg'][1:]}, not {given!r}"


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


def suggestion(key: str, known: Iterable[str]) -> str:
    """Return '; did you mean ...?' with the nearest known key, or the list of all."""
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"


def known_keys(model: type[Model]) -> list[str]:
    """Return the names of the model's keys and of its nested models' keys."""
    names = []
    for name, field in model.model_fields.items():
        names.append(name)
        nested = _model_within(field.annotation)
        names.extend(known_keys(nested) if nested else [])
    return names
