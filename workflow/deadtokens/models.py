"""What all configuration models share: unknown keys are forbidden, values do not change."""

import hashlib
import json
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Model(BaseModel):
    """A frozen model that takes numbers written as text ('1e-3') but no truth value as a number.

    Nor is a missing number lost that is written as text ('null'): of what stands within
    ``--config 'defaults={...}'`` Snakemake makes text.

    The string under a field documents it, its unit last in brackets: as a docstring it is no part
    of the code's fingerprint, so that better words retrain nothing.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_as_number(cls, value: Any, field: ValidationInfo) -> Any:
        """Refuse ``true`` where it would be taken for 1."""
        if _holds_number(cls.model_fields[field.field_name].annotation):
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, bool):
                    raise ValueError(f"{json.dumps(one)} is a truth value where a number is needed")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_written_as_text(cls, value: Any, field: ValidationInfo) -> Any:
        annotation = cls.model_fields[field.field_name].annotation
        if value == "null" and _holds_number(annotation) and NoneType in get_args(annotation):
            return None
        return value


def _holds_number(annotation: Any) -> bool:
    """Return whether `annotation` is, or holds, a number: ``float | None``, ``list[int]``."""
    return annotation in (int, float) or any(map(_holds_number, get_args(annotation)))


def canonical_json(value: Any) -> str:
    """Return JSON text that depends on the content alone: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def short_digest(value: Any) -> str:
    """Return 8 hexadecimal digits of the SHA-256 of `value`'s canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:8]
