"""Which writing system a token belongs to, even if the token ends inside a character.

A byte-level token is any run of bytes, so it may begin with the last bytes of one character and
end with the first bytes of another. The first bytes of a character leave a range of code points
open: E0 B9 can only begin U+0E40 to U+0E7F, all Thai; E0 B8 Thai, or the sign of the baht, which is
of no script; F0 9F can begin most emoji, which are of no script, and some Hiragana. The last ones
alone say nothing.

Scripts are those of the Unicode character database as fontTools carries it, in four-letter codes.
"""

import codecs
from bisect import bisect_right
from functools import lru_cache

from fontTools import unicodedata

COMMON, INHERITED, UNASSIGNED = "Zyyy", "Zinh", "Zzzz"
NO_SCRIPT = "none"  # of what has no text
OF_NO_SCRIPT = frozenset({COMMON, INHERITED, UNASSIGNED})
_CONTINUATION = bytes(range(0x80, 0xC0))
_UNKNOWN = "unknown"
_MOST_NAMES = 3  # of what an open character can be


def scripts_in(text: str) -> frozenset[str]:
    """Return the codes of the scripts that occur in a text, Common and Inherited left out."""
    return frozenset(map(unicodedata.script, set(text))) - OF_NO_SCRIPT


def possible_scripts(token: bytes) -> list[frozenset[str]]:
    """Return, for each character that the token decides on, the scripts that it can have.

    Bytes that only end a character decide on nothing and are left out. A character cut off at the
    token's end can be any assigned one that begins with these bytes.

    Parameters
    ----------
    token : bytes
        A run of bytes from a UTF-8 text.

    Returns
    -------
    list of frozenset of str
        Four-letter codes, one non-empty set a character. Those of `OF_NO_SCRIPT` are among them:
        Common, Inherited, and unassigned where nothing assigned is possible.
    """
    return [codes for codes in _codes_of_characters(token) if codes]


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
        scripts certainly stand in the token. Without any, what a character cut off at its end can
        be, such as ``Common or Thai``, if that is few; ``Common`` or ``Inherited`` if it has only
        such characters; ``unknown`` if its bytes leave the script open.
    """
    characters = _codes_of_characters(token)
    certain = frozenset().union(*(codes for codes in characters if len(codes) == 1)) - OF_NO_SCRIPT
    if certain:
        return "+".join(sorted(map(_name, certain)))
    last = characters[-1] if characters else frozenset()  # the only one that can be open
    if last - OF_NO_SCRIPT:
        return _alternatives(last)
    return _UNKNOWN if frozenset() in characters else _of_no_script(frozenset().union(*characters))


def _alternatives(codes: frozenset[str]) -> str:
    names = set(map(_name, codes - OF_NO_SCRIPT))
    if codes & OF_NO_SCRIPT:
        names.add(_of_no_script(codes))
    return " or ".join(sorted(names)) if len(names) <= _MOST_NAMES else _UNKNOWN


def _of_no_script(codes: frozenset[str]) -> str:
    return next((_name(code) for code in (COMMON, INHERITED) if code in codes), _UNKNOWN)


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
    found = frozenset(codes[bisect_right(begins, first) - 1 : bisect_right(begins, last)])
    return found - {UNASSIGNED} or found
