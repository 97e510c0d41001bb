"""Audits, read as they were written or not at all."""

import json
from pathlib import Path
from typing import Any

from deadtokens.errors import UserError
from deadtokens.identity import check_derived
from deadtokens.seal import check_seal

KINDS = ("tensors", "checksums", "controls")
COUNTS = ("compared", "differing")
OURS = "ours"  # among the implementations by which a recording is replayed


def in_words(implementation: str) -> str:
    """Return what one of the ways to replay a recording is called."""
    if implementation == OURS:
        return "our update, rounded as its device says"
    return f"torch's {implementation}"


def read_audit(path: Path) -> dict[str, Any]:
    """Return the audit of a run, as `deadtokens.audit.audit` writes it.

    Where its seal stands beside it, it must be what was sealed; a copy without a seal is read too.

    Raises
    ------
    UserError
        If the file is missing, damaged, no JSON object, or of another run than its folder.
    """
    check_seal(path, required=False)
    try:
        audit = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no audit of a run ({error}); make it again") from None
    if not isinstance(audit, dict):
        raise UserError(f"{path} is no audit of a run; make it again")
    check_derived(path, audit)
    for kind in KINDS:
        if kind in audit and not _are_tallies(audit[kind]):
            raise UserError(
                f"{path} is no audit of a run: {kind!r} holds no tallies; make it again"
            )
    return audit


def _are_tallies(content: Any) -> bool:
    """Return whether each entry says how much was compared and how much of it differs."""
    if not isinstance(content, dict) or not all(isinstance(one, dict) for one in content.values()):
        return False
    counts = [one.get(count) for one in content.values() for count in COUNTS]
    return all(isinstance(count, int) and count >= 0 for count in counts)
