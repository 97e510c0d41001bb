"""Numbers as the paper writes them, and the check that it types none itself."""

import re
import shutil

import pytest
from house import REPOSITORY

from deadtokens.errors import UserError
from deadtokens.paper.facts import Facts
from deadtokens.paper.prose import LAYOUT, check_prose, typed_numbers
from deadtokens.paper.words import exact, interval, listing, number, size

TEMPLATE = REPOSITORY / "workflow" / "paper"

WRITTEN = {
    0: "0",
    4096: "4,096",
    1.0: "1",
    -0.5: "−0.500",
    0.97557: "0.976",
    0.9996: "1.000",
    80.01: "80.0",
    1234.5: "1,234",
    0.0012: "0.00120",
    2.438e-5: "2.44 × 10⁻⁵",
    -7.95e-13: "−7.95 × 10⁻¹³",
    1.234e15: "1.23 × 10¹⁵",
    393216000: "393,216,000",
    float("nan"): "–",
    float("inf"): "–",
}


@pytest.mark.parametrize("value", WRITTEN)
def test_numbers_are_written_with_three_digits(value):
    assert number(value) == WRITTEN[value]
    assert number(None) == "–"


def test_settings_sizes_intervals_and_lists():
    assert [exact(one) for one in (0.0, 0.999, 1e-8, 1500)] == ["0", "0.999", "1e-8", "1,500"]
    assert [size(one) for one in (12, 2097152, 5.8e9)] == ["12 bytes", "2.10 MB", "5.80 GB"]
    assert interval(0.1, 0.25) == "0.100 to 0.250"
    assert interval(None, None) == interval(float("nan"), 1.0) == ""
    assert [listing(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]


def test_a_number_has_one_source():
    facts = Facts()
    facts.add("census.nc", dead="1,011")
    assert facts.as_json() == {"dead": {"text": "1,011", "source": "census.nc"}}
    with pytest.raises(UserError, match=r"two numbers dead: of drift\.nc"):
        facts.add("drift.nc", dead="12")
    with pytest.raises(UserError, match=r"number live \(3\) has no source"):
        facts.add(" ", live="3")


def test_the_template_types_no_number():
    check_prose(TEMPLATE)


TYPED = {
    "Of the tokens 1,011 are dead.": True,
    'Of the tokens #n("dead") are dead.': False,
    "A fraction of 0.97 freezes.": True,
    "In bf16 and fp32, Float32 too, as @land2024 say.": False,
    "$1 - beta_1^t$ and $g_t^2$": False,
    "$beta_1 = 0.9$": True,
    "$t = 10$": True,
    "The 2 regimes": True,
    "// a remark of 2026": False,
    '#by-claim("median-last-motion-at-1543", holds: [So.])': False,
    '#by-claim("median", holds: [At update 1543.])': True,
    '#text("98 %")': True,
    "See https://example.org/7.": True,
}


@pytest.mark.parametrize("line", TYPED)
def test_a_typed_number_is_told_from_a_name(line, tmp_path):
    path = tmp_path / "part.typ"
    path.write_text(f"Prose.\n{line}\n")
    assert len(list(typed_numbers(path))) == TYPED[line]


def test_a_template_that_types_a_number_is_refused(tmp_path):
    folder = tmp_path / "paper"
    shutil.copytree(TEMPLATE, folder)
    with (folder / "limits.typ").open("a", encoding="utf-8") as file:
        file.write("\nWe found 42.\n")
    line = len((folder / "limits.typ").read_text(encoding="utf-8").splitlines())
    sentence = f"limits.typ, line {line}: a number is typed (We found 42.)"
    with pytest.raises(UserError, match=re.escape(sentence)):
        check_prose(folder)


def test_only_layout_is_left_out_of_the_check():
    assert LAYOUT in {path.name for path in TEMPLATE.iterdir()}
    assert not re.search(r"\[[A-Z][a-z]+ [a-z]+[^\]]*\d", (TEMPLATE / LAYOUT).read_text())
