"""How vocabularies write the bytes of their tokens."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from deadtokens.text.readable import utf8

SPACE = "▁"  # SentencePiece's
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class Spelling:
    """What the name of a token in its vocabulary says of its text.

    Attributes
    ----------
    alphabet : mapping of str to int, or None
        The byte that a character stands for, in a byte-level vocabulary.
    pieces : bool
        Whether ``▁`` stands for a space and ``<0xE0>`` for a byte, as SentencePiece writes them.
    prefix, suffix : str
        Marks that say where in a word a token can stand and are no text: ``##``, ``</w>``.
    """

    alphabet: Mapping[str, int] | None = None
    pieces: bool = False
    prefix: str = ""
    suffix: str = ""

    @property
    def marks(self) -> bool:
        """Whether tokens of the same text can differ in where they stand."""
        return bool(self.prefix or self.suffix)

    def bytes_of(self, name: str) -> bytes:
        """Return the bytes that a token stands for; a name that spells nothing stands for itself.

        A lone surrogate, which no text can have, becomes bytes that are not UTF-8.
        """
        stem = name.removeprefix(self.prefix).removesuffix(self.suffix) or name
        if self.alphabet is not None and self.alphabet.keys() >= set(stem):
            return bytes(self.alphabet[character] for character in stem)
        if self.is_byte(stem):
            return bytes.fromhex(stem[3:5])
        return utf8(stem.replace(SPACE, " ") if self.pieces else stem)

    def is_byte(self, name: str) -> bool:
        """Return whether the token stands for one byte, whatever character this belongs to."""
        if self.alphabet is not None:
            return name in self.alphabet
        return self.pieces and _BYTE.fullmatch(name) is not None
