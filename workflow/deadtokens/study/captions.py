"""What figures say of themselves, for readers who see no markup."""

import importlib
import re

MARKUP = re.compile("[`*]")  # of reStructuredText: literals and emphasis


def caption_of(figure: str) -> str:
    """Return what a figure's module says of it, in paragraphs without markup."""
    return MARKUP.sub("", importlib.import_module(f"deadtokens.figures.{figure}").__doc__)
