"""A check of the template: no number is typed in its prose.

Names of formats and of keys may have digits, formulas the constants 0, 1 and 2. What stands in
``style.typ`` is layout.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from deadtokens.errors import UserError

LAYOUT = "style.typ"
COMMENT = re.compile(r"(?<!:)//.*")
KEY = re.compile(r'"[a-z][a-z0-9_./-]*"')  # of a number, a claim or a file
CITATION = re.compile(r"@[a-z]+\d{4}\b")
NAMES = re.compile(r"(?i)\b(?:bf16|fp32|bfloat16|float(?:16|32|64)|CRC-32|beta[12]|NetCDF-4)\b")
FORMULA = re.compile(r"\$[^$]*\$")
CONSTANT = re.compile(r"(?<![\d.,])[012](?![\d.,]\d|\d)")
DIGIT = re.compile(r"\d")


def check_prose(folder: Path) -> None:
    """Refuse a template that types a number.

    Raises
    ------
    UserError
        A sentence for each such line.
    """
    typed = [line for path in sorted(folder.glob("*.typ")) for line in typed_numbers(path)]
    if typed:
        raise UserError("\n".join(typed))


def typed_numbers(path: Path) -> Iterator[str]:
    """Yield a sentence for each line of a template's file that types a number."""
    if path.name == LAYOUT:
        return
    text = path.read_text(encoding="utf-8")
    for pattern in (COMMENT, KEY, CITATION, NAMES):
        text = pattern.sub("", text)
    text = FORMULA.sub(lambda formula: CONSTANT.sub("", formula[0]), text)
    for place, line in enumerate(text.splitlines(), start=1):
        if DIGIT.search(line):
            yield (
                f"{path}, line {place}: a number is typed ({line.strip()}); take it from a derived "
                "file by its name"
            )
