"""Training byte-level BPE: known merges, determinism, and the bytes behind the tokens."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

import deadtokens
from deadtokens.errors import UserError
from deadtokens.text.vocabulary import (
    lines,
    main,
    merge_ranks,
    read_tokenizer,
    token_bytes,
    train_vocabulary,
)


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
    main(["--size", "258", "--output", str(output), *texts])
    assert read_tokenizer(output).to_str() == train_vocabulary(["abab", "กา"], 258).to_str()
    first = hashlib.sha256(output.read_bytes()).hexdigest()
    main(["--size", "258", "--output", str(output), *texts])
    assert hashlib.sha256(output.read_bytes()).hexdigest() == first


def test_file_that_holds_no_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer\.json holds no tokenizer"):
        read_tokenizer(tmp_path / "tokenizer.json")
