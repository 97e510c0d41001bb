"""The whole stage on the pinned corpora: the numbers that the study rests on."""

import json
from collections import Counter

import numpy as np
import pytest

from deadtokens.cli import call
from deadtokens.text import vocabulary
from deadtokens.text.read import read_census, read_stream


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    kjv, thai, tokenizer = (
        str(folder / name) for name in ("kjv.txt", "thai.txt", "tokenizer.json")
    )
    stream_file, census_file = str(folder / "stream.nc"), str(folder / "census.nc")
    call("corpus", ["--source", "kjv", "--text", kjv, "--about", str(folder / "kjv.json")])
    call("corpus", ["--source", "thai-words", "--text", thai, "--about", str(folder / "thai.json")])
    call("vocabulary", ["--size", "4096", "--output", tokenizer, kjv, thai])
    made_from = ["--tokenizer", tokenizer, "--text", kjv]
    call("stream", [*made_from, "--output", stream_file])
    outputs = ["--output", census_file, "--csv", str(folder / "census.csv")]
    call("census", [*made_from, "--stream", stream_file, *outputs])
    return folder


def test_numbers_of_the_pinned_corpora(made):
    about = json.loads((made / "kjv.json").read_text())
    assert (about["bytes"], about["lines"], about["characters"]) == (4_142_587, 31_102, 4_138_497)

    ids, _ = read_stream(made / "stream.nc")
    assert ids.size == 1_066_243
    tokenizer = vocabulary.read_tokenizer(made / "tokenizer.json")
    assert tokenizer.decode(ids.tolist()).encode() == (made / "kjv.txt").read_bytes()

    table = read_census(made / "census.nc")
    dead = table["dead"].values
    assert (table.sizes["token"], dead.sum()) == (4096, 1011)
    assert Counter(table["why_dead"].values[dead].tolist()) == {
        "other script": 741,
        "byte never used": 185,
        "always absorbed": 84,
        "string never occurs": 1,
    }
    tokens = vocabulary.token_bytes(tokenizer)
    merged_not_ascii = np.array([len(t) > 1 and not t.isascii() for t in tokens])
    assert (merged_not_ascii.sum(), (merged_not_ascii & dead).sum()) == (745, 742)
    # E0 B8 alone may begin Thai or the sign of the baht, which is of no script.
    assert Counter(table["script"].values[merged_not_ascii & dead].tolist()) == {
        "Thai": 741,
        "Common or Thai": 1,
    }
    assert table["why_dead"].values[tokens.index(b"\xe0\xb8")] == "string never occurs"
    # The newline is alive: all verses but the last end with one.
    assert table["count"].values[tokens.index(b"\n")] == 31_101
