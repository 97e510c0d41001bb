"""Scripts of whole and of cut characters."""

import pytest
from fontTools import unicodedata
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.text.scripts import possible_scripts, script_of, scripts_in

NEUTRAL = {"Zyyy", "Zinh", "Zzzz"}


@pytest.mark.parametrize(
    ("token", "script"),
    [
        (b" the", "Latin"),
        ("Æ".encode(), "Latin"),
        ("น้ำ".encode(), "Thai"),
        (b" \n.1", "Common"),
        ("\u0301".encode(), "Inherited"),
        (" \u0301".encode(), "Common"),
        ("a\u0301".encode(), "Latin"),
        ("אa".encode(), "Hebrew+Latin"),
        ("\U00016fe4".encode(), "Khitan Small Script"),
        (b"\xe0\xb8", "Thai"),
        (b"\xb2\xe0\xb8", "Thai"),
        ("รา".encode() + b"\xe0\xb9", "Thai"),
        (b"\xc3", "Latin"),
        (b"\xd7", "Hebrew"),
        (b"\xe2\x80", "Common"),
        (b"a\xe0\xb8", "Latin+Thai"),
        (b"a\xb8", "unknown"),
        (b"\xe0", "unknown"),
        (b" \xe0", "unknown"),
        (b"a\xe0", "Latin"),
        (b"\xb8", "unknown"),
        (b"\xb8\x81", "unknown"),
        (b"\xb8 ", "unknown"),
        (b"\xff", "unknown"),
        (b"\xe0\x80", "unknown"),
        (b"", "unknown"),
        ("\U000e0fff".encode(), "unknown"),
    ],
)
def test_planted_tokens(token, script):
    assert script_of(token) == script


@pytest.mark.parametrize(
    "cut",
    [
        *(b"\xc3", b"\xd7", b"\xe0", b"\xe0\xb8", b"\xe2\x80", b"\xed"),
        *(b"\xef\xbf", b"\xf0", b"\xf0\x9f", b"\xf0\x90\x8c", b"\xf4"),
    ],
)
def test_cut_character_can_be_all_that_begin_with_it(cut):
    everything = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    begun = {unicodedata.script(c) for c in everything if c.encode().startswith(cut)}
    expected = begun - NEUTRAL
    assert possible_scripts(cut) == ([frozenset(expected)] if expected else [])


@given(st.characters(exclude_categories=["Cs", "Cn"]))
def test_every_beginning_allows_the_character_s_own_script(character):
    encoded, script = character.encode(), unicodedata.script(character)
    for length in range(1, len(encoded) + 1):
        possible = possible_scripts(encoded[:length])
        assert script in NEUTRAL or script in possible[0]


@given(st.binary())
def test_any_bytes_have_a_name(token):
    assert script_of(token)


def test_scripts_of_a_text_leave_out_what_belongs_to_none():
    assert scripts_in("In the 1st\u0301 — год") == {"Latn", "Cyrl"}
    assert scripts_in("1 + 1\n") == frozenset()
