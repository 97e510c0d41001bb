"""What the paper's text may say in numbers: each by name, with the file or setting it is from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deadtokens.errors import UserError


@dataclass
class Facts:
    """Numbers by name, written, each with its source.

    Attributes
    ----------
    entries : dict of str to dict
        ``text`` and ``source`` by name, as the template reads them.
    """

    entries: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, source: str, **texts: str) -> None:
        """Add written numbers that come from one source.

        Raises
        ------
        UserError
            If there is no source, or a name has a number already.
        """
        for name, text in texts.items():
            if not source.strip():
                raise UserError(f"the paper's number {name} ({text}) has no source")
            if name in self.entries:
                raise UserError(f"the paper has two numbers {name}: of {source} and of another")
            self.entries[name] = {"text": text, "source": source}

    def as_json(self) -> Mapping[str, dict[str, str]]:
        """Return the numbers as the template reads them."""
        return self.entries
