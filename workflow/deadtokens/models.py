"""What all configuration models share: unknown keys are forbidden, values do not change."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Model(BaseModel):
    """A frozen model that takes numbers written as text ('1e-3') but no truth value as a number.

    The string under a field documents it, its unit last in brackets: as a docstring it is no part
    of the code's fingerprint, so that better words retrain nothing.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _no_truth_value_as_number(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name, value in values.items():
                field = cls.model_fields.get(name)
                if isinstance(value, bool) and field and field.annotation in (int, float):
                    raise ValueError(f"{name}: {value} is a truth value where a number is needed")
        return values


def canonical_json(value: Any) -> str:
    """Return JSON text that depends on the content alone: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def short_digest(value: Any) -> str:
    """Return 8 hexadecimal digits of the SHA-256 of `value`'s canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:8]
