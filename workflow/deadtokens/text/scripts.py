"""Which writing system a token belongs to, even if the token ends inside a character.

A byte-level token is any run of bytes, so it may begin with the last bytes of one character and
end with the first bytes of another. The first bytes of a character leave a range of code points
open (E0 B8 can only begin U+0E00 to U+0E3F: Thai); the last ones alone say nothing.

Scripts are those of the Unicode character database as fontTools carries it, in four-letter codes.
"""

import codecs
from bisect import bisect_right
from functools import lru_cache

from fontTools import unicodedata

COMMON, INHERITED, UNASSIGNED = "Zyyy", "Zinh", "Zzzz"
_OF_NO_SCRIPT = frozenset({COMMON, INHERITED, UNASSIGNED})
_CONTINUATION = bytes(range(0x80, 0xC0))
_UNKNOWN = "unknown"


def scripts_in(text: str) -> frozenset[str]:
    """Return the codes of the scripts that occur in a text, Common and Inherited left out."""
    return frozenset(map(unicodedata.script, set(text))) - _OF_NO_SCRIPT


def possible_scripts(token: bytes) -> list[frozenset[str]]:
    """Return, for each character that the token decides on, the scripts that it can have.

    Characters of no script (Common, Inherited, unassigned) are left out, and so are bytes that
    only end a character. A character cut off at the token's end has several possible scripts;
    where some are known, the characters of no script in its range do not count.

    Parameters
    ----------
    token : bytes
        A run of bytes from a UTF-8 text.

    Returns
    -------
    list of frozenset of str
        Four-letter codes, one non-empty set a character.
    """
    codes = (character - _OF_NO_SCRIPT for character in _codes_of_characters(token))
    return [character for character in codes if character]


def script_of(token: bytes) -> str:
    """Name the script of a token.

    Parameters
    ----------
    token : bytes
        A run of bytes from a UTF-8 text.

    Returns
    -------
    str
        A Unicode script name such as ``Thai``; several, joined by ``+``, if characters of several
        scripts stand in the token; ``Common`` or ``Inherited`` if it has only such characters;
        ``unknown`` if its bytes leave the script open.
    """
    possible = possible_scripts(token)
    certain = frozenset().union(*(codes for codes in possible if len(codes) == 1))
    if certain:
        return "+".join(sorted(map(_name, certain)))
    everything = _codes_of_characters(token)
    if possible or frozenset() in everything:
        return _UNKNOWN
    seen = frozenset().union(*everything)
    return next((_name(code) for code in (COMMON, INHERITED) if code in seen), _UNKNOWN)


def _name(code: str) -> str:
    return unicodedata.script_name(code).replace("_", " ")


def _codes_of_characters(token: bytes) -> list[frozenset[str]]:
    """Return the possible codes of each character, an empty set for bytes that say nothing."""
    rest = token.lstrip(_CONTINUATION)
    silent = [frozenset()] if len(rest) < len(token) else []
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        whole = decoder.decode(rest)
    except UnicodeDecodeError:
        return [frozenset()]
    cut, _ = decoder.getstate()
    characters = [frozenset({unicodedata.script(character)}) for character in whole]
    return silent + characters + ([_codes_in_range(*_range_begun_by(cut))] if cut else [])


def _range_begun_by(cut: bytes) -> tuple[int, int]:
    """Return the first and the last code point whose UTF-8 begins with the bytes `cut`."""
    length = 2 + (cut[0] >= 0xE0) + (cut[0] >= 0xF0)
    bits = cut[0] & (0x7F >> length)
    for byte in cut[1:]:
        bits = bits << 6 | byte & 0x3F
    open_bits = 6 * (length - len(cut))
    first = bits << open_bits
    last = first | (1 << open_bits) - 1
    # Shorter forms hold the code points below; above U+10FFFF there are none.
    shortest_form = {2: 0x80, 3: 0x800, 4: 0x10000}[length]
    return max(first, shortest_form), min(last, 0x10FFFF)


@lru_cache(maxsize=1024)
def _codes_in_range(first: int, last: int) -> frozenset[str]:
    begins, codes = unicodedata.Scripts.RANGES, unicodedata.Scripts.VALUES
    return frozenset(codes[bisect_right(begins, first) - 1 : bisect_right(begins, last)])
