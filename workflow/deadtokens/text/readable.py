"""Tokens as text that can be printed."""


def readable(token: bytes) -> str:
    r"""Show a token's bytes as one printable line.

    Bytes that do not make a whole character appear as ``\xe0``, unprintable characters as Python
    would escape them (above U+007F always as ``\u`` or ``\U``, so that ``\x85`` is a byte and
    ``\u0085`` a character), and a backslash is doubled: different tokens never look the same.
    """
    text = token.replace(b"\\", b"\\\\").decode("utf-8", errors="backslashreplace")
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def literal(line: str) -> str:
    """Put a `readable` line in single quotes, for a cell of a table.

    Hostile text is in them as well: so a spreadsheet never takes one for a formula (``=``, ``+``,
    ``-``, ``@``) or a number, and spaces at the ends can be seen.
    """
    return "'" + line.replace("'", "\\'") + "'"


def utf8(text: str) -> bytes:
    """Encode a text, a lone surrogate as the three bytes that it would have."""
    return text.encode("utf-8", errors="surrogatepass")


def _escaped(character: str) -> str:
    code = ord(character)
    if 0x80 <= code <= 0xFF:
        return f"\\u{code:04x}"
    return character.encode("unicode_escape").decode("ascii")
