"""Scripts of whole and of cut characters."""

from collections import defaultdict

import numpy as np
import pytest
from fontTools import unicodedata
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.text.census import why_dead
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
        (b"\xe0\xb8", "Common or Thai"),
        (b"\xb2\xe0\xb8", "Common or Thai"),
        (b" \xe0\xb8", "Common or Thai"),
        (b"\xe0\xb9", "Thai"),
        (b"\xb2\xe0\xb9", "Thai"),
        ("รา".encode() + b"\xe0\xb8", "Thai"),
        ("รา".encode() + b"\xe0\xb9", "Thai"),
        (b"\xc3", "Common or Latin"),
        (b"\xe2\x82", "Common or Latin"),
        (b"\xf0\x9f", "Common or Hiragana"),
        (b"\xf0\x9f\x98", "Common"),
        (b"\xf0\x90\x80", "Linear B"),
        (b"\xf0\x9b\x85", "Hiragana or Katakana or Nushu"),
        (b"\xe0\xa5", "Common or Devanagari"),
        (b"\xd2", "Cyrillic or Inherited"),
        (b"\xcc", "Inherited"),
        (b"\xee\x80", "unknown"),
        (b"\xd7", "Hebrew"),
        (b"\xe2\x80", "Common"),
        (b"a\xe0\xb8", "Latin"),
        (b"a\xe0\xb9", "Latin+Thai"),
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


@pytest.fixture(scope="module")
def begun():
    """Every beginning of every character, with the scripts of all characters that it begins."""
    scripts = defaultdict(set)
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        encoded, script = chr(code).encode(), unicodedata.script(chr(code))
        for length in range(1, len(encoded)):
            scripts[encoded[:length]].add(script)
    # Every lead byte; then all but overlong forms, surrogates and what is above U+10FFFF.
    assert len(scripts) == 51 + (16 * 64 - 32 - 32) + (5 * 64 - 16 - 48) * (1 + 64)
    return {cut: found - {"Zzzz"} for cut, found in scripts.items()}


def name_of(scripts):
    names = {unicodedata.script_name(code).replace("_", " ") for code in scripts - NEUTRAL}
    if scripts & NEUTRAL:
        names.add("Common" if "Zyyy" in scripts else "Inherited")
    return " or ".join(sorted(names)) if 1 <= len(names) <= 3 else "unknown"


def test_a_cut_character_can_be_every_assigned_one_that_begins_with_it(begun):
    found = {cut: possible_scripts(cut) for cut in begun}
    assert found == {cut: [frozenset(scripts or {"Zzzz"})] for cut, scripts in begun.items()}
    assert {cut: script_of(cut) for cut in begun} == {cut: name_of(begun[cut]) for cut in begun}


@pytest.mark.parametrize("text", ["in the", "ไม่", "の", "καί", "\U00010000", "\U0001f600 1\u0301"])
def test_a_cut_character_is_of_another_script_only_if_it_certainly_is(text, begun):
    at_home = set(map(unicodedata.script, text)) | NEUTRAL
    tokens = [cut for cut in begun if len(cut) > 1 and cut not in text.encode()]
    reasons = why_dead(tokens, np.zeros(len(tokens)), text)
    for token, reason in zip(tokens, reasons, strict=True):
        foreign = begun[token] and not begun[token] & at_home
        assert reason == ("other script" if foreign else "string never occurs"), token
    assert {"other script", "string never occurs"} == set(reasons)


@given(st.characters(exclude_categories=["Cs", "Cn"]))
def test_every_beginning_allows_the_character_s_own_script(character):
    encoded, script = character.encode(), unicodedata.script(character)
    for length in range(1, len(encoded) + 1):
        assert script in possible_scripts(encoded[:length])[0] or script == "Zzzz"


@given(st.binary())
def test_any_bytes_have_a_name(token):
    assert script_of(token)


def test_scripts_of_a_text_leave_out_what_belongs_to_none():
    assert scripts_in("In the 1st\u0301 — год") == {"Latn", "Cyrl"}
    assert scripts_in("1 + 1\n") == frozenset()
