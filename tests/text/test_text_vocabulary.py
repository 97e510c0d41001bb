"""Training byte-level BPE: known merges, determinism, and the bytes behind the tokens."""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import deadtokens
from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.text.sources import PINNED, ensure
from deadtokens.text.stream import encode
from deadtokens.text.vocabulary import (
    LONGEST_WORD,
    lines,
    merge_ranks,
    pieces,
    read_tokenizer,
    reserved_rows,
    token_bytes,
    train_vocabulary,
)

TOKENIZER = train_vocabulary(["a"], 256)
RESERVING = train_vocabulary(["the cat sat on the mat"] * 9, 265, unused=3)


def _many_ties() -> str:
    """Return words in which all pairs of letters are about equally frequent."""
    generator = random.Random(7)
    words = ("".join(generator.choices("abcdefgh", k=4)) for _ in range(2000))
    return "".join(word + generator.choice(" \n") for word in words)


def test_merges_of_a_planted_text():
    # "ab" stands 5 times, then "abc" 3 times; the spaces and newlines join nothing.
    tokenizer = train_vocabulary(["ab\nab\nabc\nabc\nabc\n"], 258)
    assert token_bytes(tokenizer)[256:] == [b"ab", b"abc"]
    assert merge_ranks(tokenizer)[255:].tolist() == [-1, 0, 1]


def test_reserved_rows_follow_a_vocabulary_that_they_leave_as_it_is():
    text = "the cat sat on the mat <unused0> <unused1>\n" * 9
    plain, reserved = train_vocabulary([text], 270), train_vocabulary([text], 275, unused=5)
    assert token_bytes(reserved) == [*token_bytes(plain), *[b""] * 5]
    assert reserved_rows(reserved) == [f"<unused{row}>" for row in range(5)]
    assert reserved_rows(plain) == []
    assert merge_ranks(reserved).tolist() == [*merge_ranks(plain).tolist(), *[-1] * 5]
    assert train_vocabulary([text], 270, unused=0).to_str() == plain.to_str()


@given(st.text(alphabet="<>unused012 \n") | st.text() | st.just("<unused0><unused1> <unused2>"))
def test_no_text_gives_a_reserved_row(text):
    ids = RESERVING.encode(text).ids
    assert max(ids, default=0) < 262
    assert RESERVING.decode(ids) == text


def test_the_library_reads_reserved_rows_by_itself(tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat <unused0>\n" * 9)
    made = tmp_path / "tokenizer.json"
    words = [str(tmp_path / "text.txt"), "--size", "270", "--unused", "4", "--output", str(made)]
    call("vocabulary", words)
    loaded = Tokenizer.from_file(str(made))
    assert loaded.get_vocab_size() == 270
    assert [loaded.id_to_token(row) for row in (266, 269)] == ["<unused0>", "<unused3>"]
    assert max(loaded.encode("the cat <unused0>").ids) < 266
    assert loaded.to_str() == read_tokenizer(made).to_str()


@pytest.mark.parametrize(
    ("size", "unused", "sentence"),
    [
        (300, 45, "a vocabulary of 300 tokens, 45 of them unused, is too small: .* 301 or more"),
        (300, 400, "ask for 656 or more"),
        (300, -1, "-1 unused rows are too few; ask for 0 or more"),
        (9000, 10, "not 8990: nothing is left to merge; ask for at most .* and 10 unused ones or"),
    ],
)
def test_impossible_numbers_of_unused_rows_are_told(size, unused, sentence):
    with pytest.raises(UserError, match=sentence):
        train_vocabulary(["the cat sat on the mat"], size, unused)


def test_reserved_rows_that_are_not_the_last_are_no_tokenizer_of_ours(tmp_path):
    values = json.loads(RESERVING.to_str())
    vocabulary = values["model"]["vocab"]
    vocabulary["<unused0>"], vocabulary["the"] = vocabulary["the"], vocabulary["<unused0>"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="holds no tokenizer as deadtokens vocabulary makes them"):
        read_tokenizer(tmp_path / "tokenizer.json")


def test_texts_count_together():
    # "xy" stands twice in the one, "ab" once in each; " xy" stands once and comes last.
    tokenizer = train_vocabulary(["ab xy xy", "ab"], 258)
    assert set(token_bytes(tokenizer)[256:]) == {b"xy", b"ab"}
    alone = train_vocabulary(["ab xy xy"], 258)
    assert set(token_bytes(alone)[256:]) == {b"xy", b" xy"}


def test_the_first_tokens_are_the_single_bytes():
    tokens = token_bytes(train_vocabulary(["ab"], 257))
    assert sorted(tokens[:256]) == [bytes([byte]) for byte in range(256)]


def test_token_bytes_are_those_that_encode():
    tokenizer = train_vocabulary(["abc"], 256)
    tokens = token_bytes(tokenizer)
    text = "".join(map(chr, range(0x250))) + "ก€\U0001f600\U0010ffff"
    assert b"".join(tokens[i] for i in tokenizer.encode(text).ids) == text.encode()


def test_of_several_ways_to_a_token_the_first_merge_counts():
    vocabulary = {token: i for i, token in enumerate(["a", "b", "c", "ab", "bc", "abc"])}
    merges = [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    assert merge_ranks(tokenizer).tolist() == [-1, -1, -1, 0, 1, 2]


def test_later_tokens_come_from_later_merges():
    tokenizer = train_vocabulary([_many_ties()], 700)
    ranks = merge_ranks(tokenizer)
    assert (ranks[:256] == -1).all()
    assert (np.diff(ranks[256:]) >= 1).all()
    assert ranks[256] == 0


def test_training_is_deterministic_in_another_process_with_another_thread_count():
    text = _many_ties()
    here = train_vocabulary([text], 600).to_str()
    assert train_vocabulary([text], 600).to_str() == here
    code = (
        "import sys; from deadtokens.text.vocabulary import train_vocabulary\n"
        "text = sys.stdin.buffer.read().decode()\n"
        "sys.stdout.write(train_vocabulary([text], 600).to_str())"
    )
    folder = str(Path(deadtokens.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": folder, "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=text.encode(),
        env=environment,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == here


def test_another_text_gives_another_vocabulary():
    assert train_vocabulary(["ab"], 257).to_str() != train_vocabulary(["ba"], 257).to_str()


def test_only_newlines_end_lines():
    assert list(lines("a\r\nb\x0bc\u2028d\re\n\nf")) == ["a\r\n", "b\x0bc\u2028d\re\n", "\n", "f"]


@given(st.text(alphabet="ab ก\u0301\n\t_.1") | st.text(), st.integers(1, 6))
def test_pieces_are_cut_where_words_end_in_any_case(text, long):
    cut = list(pieces(text, long))
    assert "".join(cut) == text
    words = [word for piece in cut for word, _ in words_of(TOKENIZER, piece)]
    assert words == [word for word, _ in words_of(TOKENIZER, text)]


def test_a_text_without_newlines_comes_in_pieces():
    text = "some words and more " * 20_000
    cut = list(pieces(text))
    assert "".join(cut) == text
    assert max(map(len, cut)) < 2**16 + 20
    assert len(cut) == 7


def words_of(tokenizer, text):
    return tokenizer.pre_tokenizer.pre_tokenize_str(text)


def with_the_library_s_own_words():
    """The tokenizer before a word's length was bounded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", behavior="merged_with_previous"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer


@given(st.text(alphabet="it's'l  \t\r\n\u2028\x1c1²กา\u0301.—é") | st.text())
def test_ordinary_words_are_the_library_s(text):
    assert words_of(TOKENIZER, text) == words_of(with_the_library_s_own_words(), text)


def test_ordinary_texts_give_the_vocabulary_of_unbounded_words():
    kjv, thai = (ensure(PINNED[name]).decode()[:100_000] for name in ("kjv", "thai-words"))
    unbounded = with_the_library_s_own_words()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    unbounded.train_from_iterator((line for text in (kjv, thai) for line in lines(text)), trainer)
    bounded = train_vocabulary([kjv, thai], 500)
    assert model_of(bounded) == model_of(unbounded)
    assert encode(bounded, kjv).tolist() == unbounded.encode(kjv).ids


def model_of(tokenizer):
    return json.loads(tokenizer.to_str())["model"]


@pytest.mark.parametrize("run", ["ACGT", "กขค", "漢字", "0123", "=-", " ", "\t ", "\x00", "\ufeff"])
def test_a_long_run_is_cut_and_comes_back(run):
    """Merging takes time in proportion to the square of a word's length."""
    text = "of " + run * (20_000 // len(run)) + " is"
    lengths = [end - begin for _, (begin, end) in words_of(TOKENIZER, text)]
    assert max(lengths) <= LONGEST_WORD + 1  # the space before a run is not of it
    assert len(lengths) < 60
    tokenizer = train_vocabulary([text], 260)
    assert tokenizer.decode(encode(tokenizer, text).tolist()) == text


def test_the_longest_ordinary_word_is_whole():
    long, longer = "a" * LONGEST_WORD, "a" * (LONGEST_WORD + 1)
    text = f"{long} {long} {longer}"
    assert [word for word, _ in words_of(TOKENIZER, text)] == [long, "Ġ" + long, "Ġ" + long, "a"]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffone\r\ntwo\r\n",
        "one\rtwo\r" * 20_000,
        "".join(map(chr, range(256))) * 500,
        "word " * 60_000,
        "\x00" * 70_000,
    ],
    ids=["BOM and CRLF", "CR alone", "binary", "one line", "NUL"],
)
def test_strange_texts_come_back_byte_for_byte(text):
    tokenizer = train_vocabulary([text], 258)
    ids = encode(tokenizer, text)
    assert tokenizer.decode(ids.tolist()) == text
    assert ids.tolist() == tokenizer.encode(text).ids


def test_too_little_text_says_how_many_there_are():
    with pytest.raises(UserError, match=r"258 tokens, not 4096: .* at most 258 or give more text"):
        train_vocabulary(["abc"], 4096)


def test_fewer_tokens_than_bytes():
    with pytest.raises(UserError, match=r"a vocabulary of 255 tokens is too small.*256 or more"):
        train_vocabulary(["abc"], 255)


def test_command_writes_what_it_trained(tmp_path):
    (tmp_path / "one.txt").write_text("abab", encoding="utf-8")
    (tmp_path / "two.txt").write_text("กา", encoding="utf-8")
    output = tmp_path / "out" / "tokenizer.json"
    texts = [str(tmp_path / "one.txt"), str(tmp_path / "two.txt")]
    call("vocabulary", ["--size", "258", "--output", str(output), *texts])
    assert read_tokenizer(output).to_str() == train_vocabulary(["abab", "กา"], 258).to_str()
    first = hashlib.sha256(output.read_bytes()).hexdigest()
    call("vocabulary", ["--size", "258", "--output", str(output), *texts])
    assert hashlib.sha256(output.read_bytes()).hexdigest() == first


def test_file_that_holds_no_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer\.json holds no tokenizer"):
        read_tokenizer(tmp_path / "tokenizer.json")


def edited(change):
    """A good tokenizer.json after one change."""
    values = json.loads(train_vocabulary(["abab"], 258).to_str())
    change(values)
    return json.dumps(values)


def drop_a_byte(values):
    del values["model"]["vocab"]["Ā"]
    values["model"]["merges"] = []


HOSTILE = {
    "a token's id far away": lambda values: values["model"]["vocab"].update(ab=4_000_000_000),
    "two tokens of one id": lambda values: values["model"]["vocab"].update(zz=3),
    "a token that is no bytes": lambda values: values["model"]["vocab"].update({"漢": 258}),
    "a byte that is no token": drop_a_byte,
    "another model": lambda values: values.update(
        model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    ),
    "a model with a list": lambda values: values.update(
        model={"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.0]]}
    ),
    "chance": lambda values: values["model"].update(dropout=0.5),
    "capitals are lost": lambda values: values.update(normalizer={"type": "Lowercase"}),
    "no words": lambda values: values.update(pre_tokenizer=None),
    "other words": lambda values: values["pre_tokenizer"]["pretokenizers"][1].update(
        pattern={"Regex": "(a+)+$"}
    ),
    "the end is lost": lambda values: values.update(
        truncation={"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_tokenizer_that_may_lose_something_is_refused(what, tmp_path):
    (tmp_path / "tokenizer.json").write_text(edited(HOSTILE[what]), encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer\.json holds no tokenizer as deadtokens"):
        read_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("merge", [["a", "zz"], ["ab", "b"], "a  b", 7, None])
def test_a_merge_that_joins_no_tokens_is_refused_before_the_library_aborts(merge, tmp_path):
    text = edited(lambda values: values["model"]["merges"].append(merge))
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"the merge .* joins no tokens; make one with"):
        read_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "[" * 100_000, "\x00", '{"model": {}}'])
def test_a_file_of_something_else_is_a_sentence(text, tmp_path):
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer\.json (holds no tokenizer|is empty)"):
        read_tokenizer(tmp_path / "tokenizer.json")


def test_a_good_tokenizer_comes_back(tmp_path):
    (tmp_path / "tokenizer.json").write_text(edited(lambda values: None), encoding="utf-8")
    read = read_tokenizer(tmp_path / "tokenizer.json")
    assert read.to_str() == train_vocabulary(["abab"], 258).to_str()


@pytest.mark.parametrize("size", [10**12, 10**30])
def test_more_tokens_than_memory_holds(size):
    with pytest.raises(UserError, match=rf"258 tokens, not {size}: .* at most 258"):
        train_vocabulary(["abc"], size)
