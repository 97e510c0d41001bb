"""What a tokenizer says of each row: planted kinds, planted unreachable tokens, hostile strings."""

import csv
import json

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)

from deadtokens.errors import UserError
from deadtokens.matrices.reach import unreachable
from deadtokens.matrices.spelling import Spelling
from deadtokens.matrices.tokenizer import read_vocabulary, vocabulary_of_gguf
from deadtokens.matrices.tokens import Tokens, describe, table, write_tokens
from deadtokens.text.vocabulary import byte_of_character

ALPHABET = {byte: character for character, byte in byte_of_character().items()}
BYTES = [ALPHABET[byte] for byte in range(256)]


def spelt(data: bytes) -> str:
    return "".join(ALPHABET[byte] for byte in data)


def numbered(names) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}


def byte_level(names, merges) -> Tokenizer:
    """Return byte-level BPE whose ids from 256 on are `names`."""
    tokenizer = Tokenizer(models.BPE(numbered([*BYTES, *names]), merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def word_piece(names) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(numbered(names), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(["[PAD]", "[UNK]"])
    return tokenizer


def unigram(scores) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.add_special_tokens(["<unk>"])
    return tokenizer


def described(tokenizer: Tokenizer, folder, rows: int | None = None) -> Tokens:
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    rows = rows or tokenizer.get_vocab_size()
    return describe(read_vocabulary(path, rows), rows)


def gguf(model: str, tokens, types=None, **others) -> dict:
    metadata = {"tokenizer.ggml.model": model, "tokenizer.ggml.tokens": tokens}
    if types is not None:
        metadata["tokenizer.ggml.token_type"] = types
    return metadata | {f"tokenizer.ggml.{key}": value for key, value in others.items()}


def described_gguf(metadata: dict, rows: int | None = None) -> Tokens:
    rows = rows or len(metadata["tokenizer.ggml.tokens"])
    return describe(vocabulary_of_gguf(metadata, rows), rows)


def written(content, folder, name="tokenizer.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


# Byte-level BPE


def test_a_token_without_its_merge_is_unreachable_and_with_it_reachable(tmp_path):
    names, merges = ["th", "xq"], [("t", "h")]
    without = described(byte_level(names, merges), tmp_path)
    with_it = described(byte_level(names, [*merges, ("x", "q")]), tmp_path)
    assert without.unreachable[256:] == ["no", "yes"]
    assert with_it.unreachable[256:] == ["no", "no"]


def test_a_token_is_unreachable_where_an_earlier_merge_takes_a_part_of_it(tmp_path):
    names, apart = ["he", "th", "the"], [("t", "h"), ("th", "e")]
    assert described(byte_level(names, [("h", "e"), *apart]), tmp_path).unreachable[256:] == [
        "no",
        "no",
        "yes",
    ]
    assert described(byte_level(names, [*apart, ("h", "e")]), tmp_path).unreachable[256:] == [
        "no",
        "no",
        "no",
    ]


def test_a_token_is_unreachable_where_words_are_cut_inside_it(tmp_path):
    tokenizer = byte_level(["ab", "a1"], [("a", "b"), ("a", "1")])
    assert described(tokenizer, tmp_path).unreachable[256:] == ["no", "yes"]
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert described(tokenizer, tmp_path).unreachable[256:] == ["no", "no"]


def test_a_piece_inside_a_word_is_reachable_though_texts_begin_with_a_space(tmp_path):
    tokenizer = byte_level(["Ġa", "ab", "Ġab"], [("Ġ", "a"), ("a", "b"), ("Ġ", "ab")])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert described(tokenizer, tmp_path).unreachable[256:] == ["no", "no", "yes"]


def test_bytes_text_script_and_kind_of_a_byte_level_vocabulary(tmp_path):
    e_acute, half, tail = spelt("é".encode()), spelt(b"\xe0\xb8"), spelt(b"a\xc3")
    thai, merged = spelt("ก".encode()), [("Ã", "©"), ("à", "¸"), ("a", "Ã")]
    tokenizer = byte_level([e_acute, half, tail, thai], [*merged, ("à¸", ALPHABET[0x81])])
    tokens = described(tokenizer, tmp_path, rows=262)
    assert tokens.bytes[256:] == [b"\xc3\xa9", b"\xe0\xb8", b"a\xc3", "ก".encode(), b"", b""]
    assert tokens.readable[256:] == ["é", "\\xe0\\xb8", "a\\xc3", "ก", "", ""]
    assert tokens.script[256:] == ["Latin", "Common or Thai", "Latin", "Thai", "none", "none"]
    assert tokens.kind[256:] == ["ordinary", "partial", "partial", "ordinary", *["missing"] * 2]
    assert tokens.unreachable[256:] == ["no", "unknown", "unknown", "no", "yes", "yes"]


def test_every_single_byte_of_a_byte_level_vocabulary(tmp_path):
    tokens = described(byte_level([], []), tmp_path)
    assert tokens.bytes == [bytes([byte]) for byte in range(256)]
    assert tokens.kind == ["byte"] * 256
    assert tokens.unreachable == ["no"] * 128 + ["unknown"] * 128
    assert (tokens.readable[0x41], tokens.readable[0x0A], tokens.readable[0xE0]) == (
        "A",
        "\\n",
        "\\xe0",
    )


def test_added_tokens_are_special_and_have_bytes_where_they_are_text(tmp_path):
    tokenizer = byte_level([], [])
    tokenizer.add_special_tokens(["<|end|>", "<|reserved_special_token_7|>"])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False)])
    tokens = described(tokenizer, tmp_path)
    assert tokens.kind[256:] == ["special", "reserved", "special"]
    assert tokens.bytes[256:] == [b"", b"", b"<think>"]
    assert tokens.readable[256:] == ["<|end|>", "<|reserved_special_token_7|>", "<think>"]
    assert tokens.script[256:] == ["none", "none", "Latin"]
    assert tokens.unreachable[256:] == ["no", "no", "no"]


def test_truncation_padding_and_dropout_of_the_file_change_nothing(tmp_path):
    tokenizer = byte_level(["ab", "abc"], [("a", "b"), ("ab", "c")])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    plain = described(tokenizer, tmp_path)
    tokenizer.enable_truncation(1)  # two tokens, a space and a letter, become one
    assert described(tokenizer, tmp_path) == plain
    tokenizer.no_truncation()
    tokenizer.enable_padding(length=8, pad_id=3, pad_token="x")
    assert described(tokenizer, tmp_path) == plain
    tokenizer.no_padding()
    tokenizer.model.dropout = 0.99
    assert described(tokenizer, tmp_path) == plain
    assert plain.unreachable[256:] == ["no", "no"]


def test_a_word_end_mark_is_no_text_and_tokens_before_one_are_reachable(tmp_path):
    names = ["a", "b", "a</w>", "b</w>", "ab</w>", "ba"]
    tokenizer = Tokenizer(
        models.BPE(numbered(names), [("a", "b</w>"), ("b", "a")], end_of_word_suffix="</w>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    tokens = described(tokenizer, tmp_path)
    assert tokens.bytes == [b"a", b"b", b"a", b"b", b"ab", b"ba"]
    assert tokens.readable == names
    assert tokens.unreachable == ["no"] * 6


# WordPiece


def test_word_pieces(tmp_path):
    names = ["[PAD]", *(f"[unused{i}]" for i in range(10)), "[UNK]"]
    names += ["a", "c", "!", "cat", "##s", "##at", "Cat", "##!", "no!", "à", "##ก"]
    tokens = described(word_piece(names), tmp_path)
    assert tokens.kind == ["special", *["reserved"] * 10, "special", *["ordinary"] * 11]
    assert tokens.readable == names
    assert tokens.bytes[:12] == [b""] * 12
    assert tokens.bytes[12:] == [
        b"a", b"c", b"!", b"cat", b"s", b"at", b"Cat", b"!", b"no!", "à".encode(), "ก".encode()
    ]  # fmt: skip
    assert tokens.script[11:15] == ["none", "Latin", "Latin", "Common"]
    assert tokens.script[22] == "Thai"
    assert tokens.unreachable[:12] == ["no", *["yes"] * 10, "no"]
    reachable = dict(zip(names[12:], tokens.unreachable[12:], strict=True))
    assert reachable == {
        "a": "no",
        "c": "no",
        "!": "no",
        "cat": "no",
        "##s": "no",
        "##at": "no",
        "Cat": "yes",  # texts are made lower case
        "##!": "yes",  # a sign is a word of its own
        "no!": "yes",
        "à": "yes",  # accents are taken off
        "##ก": "no",
    }


def test_a_word_piece_is_unreachable_where_longer_ones_stand_behind_every_character(tmp_path):
    names = ["[PAD]", "[UNK]", "a", "b", "##n", "an", "bn"]
    assert described(word_piece(names), tmp_path).unreachable[4] == "yes"
    assert described(word_piece(names[:-1]), tmp_path).unreachable[4] == "no"


# SentencePiece


def test_pieces_with_byte_fallback(tmp_path):
    scores = [("<unk>", 0.0), ("▁", -2.0), ("a", -3.0), ("b", -3.0), ("▁ab", -1.0), ("ab", -2.0)]
    scores += [("abab", -50.0), ("▁▁", -9.0), ("<unused3>", -9.0)]
    scores += [(f"<0x{byte:02X}>", -5.0) for byte in range(256)]
    tokens = described(unigram(scores), tmp_path)
    assert tokens.bytes[:9] == [b"", b" ", b"a", b"b", b" ab", b"ab", b"abab", b"  ", b""]
    assert tokens.readable[:8] == ["<unk>", " ", "a", "b", " ab", "ab", "abab", "  "]
    assert tokens.readable[8] == "<unused3>"
    assert tokens.kind[:9] == ["special", *["ordinary"] * 7, "reserved"]
    assert tokens.unreachable[1:7] == [
        "no",
        "no",
        "no",
        "no",
        "no",
        "yes",
    ]  # "ab", "ab" is likelier
    byte = slice(9, 265)
    assert tokens.bytes[byte] == [bytes([value]) for value in range(256)]
    assert tokens.kind[byte] == ["byte"] * 256
    assert tokens.unreachable[9 + 0x61] == "yes"  # the piece "a" is taken instead
    assert tokens.unreachable[9 + 0x63] == "no"
    assert tokens.unreachable[9 + 0x80 : 265] == ["unknown"] * 128


def test_of_two_pieces_of_one_name_one_is_reachable(tmp_path):
    tokens = described(unigram([("<unk>", 0.0), ("▁a", -1.0), ("▁a", -1.0)]), tmp_path, rows=3)
    assert tokens.readable == ["<unk>", " a", " a"]
    assert sorted(tokens.unreachable[1:]) == ["no", "yes"]


def test_what_looks_like_a_byte_is_text_in_vocabularies_of_words():
    assert Spelling().bytes_of("<0x41>▁") == "<0x41>▁".encode()
    assert Spelling(pieces=True).bytes_of("<0x41>") == b"A"
    assert Spelling(pieces=True).bytes_of("<0x41>▁") == b"<0x41> "
    assert Spelling(prefix="##").bytes_of("##") == b"##"
    assert Spelling(byte_of_character()).bytes_of("Ġ中") == "Ġ中".encode()


# GGUF


def test_byte_level_gguf_metadata():
    names = [*BYTES, "ab", "a1", "xq", "<|end|>", "[PAD260]", "<tool>", spelt(b"\xe0\xb8")]
    types = [1] * 259 + [3, 5, 4, 1]
    metadata = gguf("gpt2", names, types, merges=["a b", "a 1"], pre="gpt-2")
    tokens = described_gguf(metadata, rows=264)
    assert tokens.kind[256:] == [
        *["ordinary"] * 3, "special", "reserved", "special", "partial", "missing"
    ]  # fmt: skip
    assert tokens.bytes[256:] == [b"ab", b"a1", b"xq", b"", b"", b"<tool>", b"\xe0\xb8", b""]
    assert tokens.unreachable[256:] == ["no", "yes", "yes", "no", "yes", "no", "unknown", "yes"]
    assert tokens.kind[:256] == ["byte"] * 256


def test_digits_are_words_of_their_own_where_the_gguf_file_says_smollm():
    names, merges = [*BYTES, "11", "a!"], ["1 1", "a !"]
    assert described_gguf(gguf("gpt2", names, merges=merges, pre="gpt-2")).unreachable[256:] == [
        "no",
        "yes",
    ]
    assert described_gguf(gguf("gpt2", names, merges=merges, pre="smollm")).unreachable[256:] == [
        "yes",
        "yes",
    ]


@pytest.mark.parametrize("others", [{}, {"merges": ["a b"]}, {"merges": ["a b"], "pre": "tekken"}])
def test_without_a_known_encoder_nothing_is_said_of_reach(others):
    tokens = described_gguf(gguf("gpt2", [*BYTES, "ab"], **others), rows=258)
    assert tokens.unreachable == ["unknown"] * 258
    assert tokens.bytes[256:] == [b"ab", b""]


def test_pieces_in_gguf_metadata():
    names = ["<unk>", "<s>", "<0xE0>", "▁the", "the", "<unused5>", "<0x41>"]
    tokens = described_gguf(gguf("llama", names, [2, 3, 6, 1, 1, 5, 6]))
    assert tokens.kind == ["special", "special", "byte", *["ordinary"] * 2, "reserved", "byte"]
    assert tokens.bytes == [b"", b"", b"\xe0", b" the", b"the", b"", b"A"]
    assert tokens.readable == ["<unk>", "<s>", "\\xe0", " the", "the", "<unused5>", "A"]


def test_word_pieces_in_gguf_metadata_mark_what_begins_a_word():
    tokens = described_gguf(gguf("bert", ["[CLS]", "▁cat", "s", "▁[unused1]"], [3, 1, 1, 1]))
    assert tokens.bytes == [b"", b"cat", b"s", b"[unused1]"]
    assert tokens.readable == ["[CLS]", "▁cat", "s", "▁[unused1]"]


# Vocabulary files


def test_a_list_of_names(tmp_path):
    path = written("[PAD]\n[unused0]\r\ncat\n\n##s\n\u2028\n", tmp_path, "vocab.txt")
    tokens = describe(read_vocabulary(path, 7), 7)
    assert tokens.kind == [
        "special", "reserved", "ordinary", "missing", "ordinary", "ordinary", "missing"
    ]  # fmt: skip
    assert tokens.bytes == [b"", b"", b"cat", b"", b"s", "\u2028".encode(), b""]
    assert tokens.readable == ["[PAD]", "[unused0]", "cat", "", "##s", "\\u2028", ""]
    assert tokens.unreachable == ["unknown"] * 7


@pytest.mark.parametrize(
    ("names", "data"),
    [
        ([*BYTES, "Ġa", "▁a", "##a"], [b" a", "▁a".encode(), b"##a"]),
        (["Ġa", "▁a", "##a"], ["Ġa".encode(), b" a", b"##a"]),
        (["Ġa", "a", "##a"], ["Ġa".encode(), b"a", b"a"]),
        (["Ġa", "a", "a▁"], ["Ġa".encode(), b"a", "a▁".encode()]),
    ],
)
def test_the_names_of_a_vocabulary_tell_how_they_spell(tmp_path, names, data):
    path = written(numbered(names), tmp_path, "vocab.json")
    tokens = describe(read_vocabulary(path, len(names)), len(names))
    assert tokens.bytes[-3:] == data
    assert tokens.unreachable == ["unknown"] * len(names)


def test_ids_of_a_vocabulary_may_leave_gaps_and_a_token_may_be_called_model(tmp_path):
    path = written({"model": 3, "<s>": 0}, tmp_path, "vocab.json")
    tokens = describe(read_vocabulary(path, 5), 5)
    assert tokens.kind == ["special", "missing", "missing", "ordinary", "missing"]
    assert tokens.bytes[3] == b"model"


# Reserved names


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("[unused12]", "reserved"),
        ("<unused5>", "reserved"),
        ("<|reserved_special_token_7|>", "reserved"),
        ("<|extra_7|>", "reserved"),
        ("<extra_id_3>", "special"),
        ("<|fim_extra1|>", "ordinary"),
        ("<MASK_EXTRA2>", "ordinary"),
        ("[UNUSED_TOKEN_145]", "reserved"),
        ("[unused]", "ordinary"),
        ("unused12", "ordinary"),
        ("<h1>", "ordinary"),
        ("[12]", "ordinary"),
        ("<unused5> ", "ordinary"),
        ("<" + "unused" * 20000, "ordinary"),
    ],
)
def test_reserved_names(name, kind):
    assert described_gguf(gguf("llama", ["a", name])).kind[1] == kind


# What the library fails on


TEXTS = {97: "a", 98: "b", 99: "c", 9999: "d"}


class Panic(BaseException):
    """Is no Exception, as what the library raises when it did not expect something."""


class Failing:
    """An encoder that gives each character its code point, and fails on some texts."""

    def __init__(self, error: BaseException, decodes: str = "", encodes: str = ""):
        self.error, self.decodes, self.encodes = error, decodes, encodes

    def decode_batch(self, batch, skip_special_tokens):
        texts = [TEXTS[i] for [i] in batch]
        if set(self.decodes) & set("".join(texts)):
            raise self.error
        return texts

    def encode_batch(self, texts, add_special_tokens):
        if set(self.encodes) & set("".join(texts)):
            raise self.error
        return [Encoded([ord(c) for c in text]) for text in texts]


class Encoded:
    def __init__(self, ids):
        self.ids = ids


@pytest.mark.parametrize("error", [ValueError("strange"), Panic("strange")])
def test_a_token_on_which_the_library_fails_is_unknown_and_the_others_are_not(error):
    as_it_is = {97: "no", 98: "no", 99: "no", 9999: "yes"}
    assert unreachable(Failing(error), TEXTS, False) == as_it_is
    assert unreachable(Failing(error, decodes="b"), TEXTS, False) == as_it_is
    assert unreachable(Failing(error, encodes="b"), TEXTS, False) == as_it_is | {98: "unknown"}


def test_an_interrupt_ends_it():
    with pytest.raises(KeyboardInterrupt):
        unreachable(Failing(KeyboardInterrupt(), encodes="b"), TEXTS, False)


# Tables

HOSTILE = {
    "=1+1": "'=1+1'",
    "+1": "'+1'",
    "-1": "'-1'",
    "@SUM(A1)": "'@SUM(A1)'",
    "\t=1": "'\\t=1'",
    "\r=1": "'\\r=1'",
    "a\nb": "'a\\nb'",
    "\x1b[31m": "'\\x1b[31m'",
    "\x00": "'\\x00'",
    "a\u202eb": "'a\\u202eb'",
    "\u200b": "'\\u200b'",
    "\ufeff": "'\\ufeff'",
    "\x85": "'\\u0085'",
    "\ud800": "'\\xed\\xa0\\x80'",
    "\U000e0041": "'\\U000e0041'",
    '"': "'\"'",
    "','": "'\\',\\''",
    "\\": "'\\\\'",
    "<script>": "'<script>'",
    " 1e5 ": "' 1e5 '",
    "NA": "'NA'",
}


def test_hostile_strings_are_one_harmless_cell_each(tmp_path):
    names = list(HOSTILE)
    tokens = described_gguf(gguf("llama", names))
    path = tmp_path / "suspects.csv"
    write_tokens(
        tokens, range(len(names)), path, {"distance": [0.1 + i for i in range(len(names))]}
    )
    lines = path.read_bytes().decode("utf-8").split("\n")
    assert len(lines) == 1 + len(names) + 1
    assert all(line.isprintable() for line in lines)
    header, *rows = csv.reader(lines[:-1])
    assert header == ["token", "string", "bytes", "script", "kind", "unreachable", "distance"]
    assert [row[1] for row in rows] == list(HOSTILE.values())
    assert not [cell for row in rows for cell in row if cell[:1] in set("=+-@\t\r")]
    assert [float(row[6]) for row in rows] == [0.1 + i for i in range(len(names))]
    assert rows[0][:6] == ["0", "'=1+1'", "3d 31 2b 31", "Common", "ordinary", "unknown"]


def test_a_lone_surrogate_of_a_vocabulary_file_is_bytes_that_are_not_whole(tmp_path):
    path = written('{"\\ud800": 0, "a": 1}', tmp_path, "vocab.json")
    tokens = describe(read_vocabulary(path, 2), 2)
    assert (tokens.kind, tokens.readable) == (["partial", "ordinary"], ["\\xed\\xa0\\x80", "a"])


def test_a_table_has_the_ids_that_are_asked_for_in_their_order():
    tokens = described_gguf(gguf("llama", ["a", "b", "c"]))
    rows = table(tokens, [2, 0], {})
    assert rows["token"].tolist() == [2, 0]
    assert rows["string"].tolist() == ["'c'", "'a'"]


# Bad input


def test_ids_beyond_the_matrix_are_one_sentence_and_rows_beyond_the_tokenizer_are_missing(tmp_path):
    tokenizer = byte_level(["ab"], [("a", "b")])
    assert described(tokenizer, tmp_path, rows=258).kind[256:] == ["ordinary", "missing"]
    with pytest.raises(UserError, match="the matrix has 256 rows, but ids go up to 256"):
        described(tokenizer, tmp_path, rows=256)
    with pytest.raises(UserError, match=r"2 rows, but ids go up to 2 \(1 of them are no row\)"):
        described_gguf(gguf("llama", ["a", "b", "c"]), rows=2)
    with pytest.raises(UserError, match="1 rows, but ids go up to 1"):
        read_vocabulary(written("a\nb", tmp_path, "vocab.txt"), 1)


def one_sentence(error: UserError) -> str:
    text = str(error)
    assert text.isprintable()
    assert len(text) < 600
    return text


BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ('{"version": "1.0", "mod', "is damaged, it is no JSON"),
        ("[" * 100_000, "is damaged, it is no JSON"),
        ("9" * 5000, "is damaged, it is no JSON"),
        ("[1, 2]", "neither a tokenizer nor ids of tokens"),
        ("{}", "there is no token"),
        ({"model": {}}, "holds no tokenizer"),
        ({"model": {"type": "BPE"}}, "holds no tokenizer"),
        ({"model": BPE | {"merges": [["a", "c"]]}}, "the merge ['a', 'c'] joins no tokens"),
        ({"model": BPE | {"merges": ["a b", "ab a"]}}, "the merge ['ab', 'a'] joins no tokens"),
        ({"model": BPE | {"merges": ["ab"]}}, "the merge ['ab'] joins no tokens"),
        ({"model": BPE | {"merges": [["a", "b", "ab"]]}}, "joins no tokens"),
        ({"model": BPE | {"merges": [7]}}, "the merge 7 joins no tokens"),
        ({"model": BPE | {"merges": [["a", {}]]}}, "joins no tokens"),
        # The library ends the process at the next one.
        ({"model": BPE | {"continuing_subword_prefix": "##"}}, "joins no tokens"),
        ({"model": BPE | {"vocab": {"a": -1}, "merges": []}}, "holds no tokenizer"),
        ({"model": BPE | {"vocab": {"a": 2**60}, "merges": []}}, "holds no tokenizer"),
        ({"model": BPE | {"vocab": {"a": "0"}, "merges": []}}, "holds no tokenizer"),
        ({"model": BPE | {"vocab": {"\x1b": "\x1b"}, "merges": []}}, "holds no tokenizer"),
        ({"model": BPE | {"vocab": {"a": 0, "b": 0}, "merges": []}}, "have the same id, 0"),
        ({"model": BPE | {"vocab": {"a": 2**32 - 1}, "merges": []}}, "ids go up to 4,294,967,295"),
        ({"a": 0, "b": 0}, "the tokens 'a' and 'b' have the same id, 0"),
        ({"a": -1}, "the token 'a' has the id -1, which is none"),
        ({"a": True}, "has the id True"),
        ({"a": 1.0}, "has the id 1.0"),
        ({"a": "\x1b"}, "has the id"),
        ({"a": None}, "has the id None"),
        ({"\x1b[31m\u202e" + "x" * 1000: -1}, "the token '\\x1b[31m\\u202exxx"),
        ({"a": 2**60}, "ids go up to 1,152,921,504,606,846,976"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, content, sentence):
    path = written(content, tmp_path)
    with pytest.raises(UserError) as caught:
        read_vocabulary(path, 1000)
    assert sentence in one_sentence(caught.value)


def test_the_good_file_beside_the_bad_ones(tmp_path):
    path = written({"version": "1.0", "model": BPE}, tmp_path)
    assert describe(read_vocabulary(path, 1000), 1000).unreachable[:4] == ["no", "no", "no", "yes"]


def test_files_that_are_no_text_or_not_there_are_one_sentence(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"a\n\xff\n")
    with pytest.raises(UserError, match="is not UTF-8: byte 2"):
        read_vocabulary(tmp_path / "vocab.txt", 10)
    with pytest.raises(UserError, match="cannot be read"):
        read_vocabulary(tmp_path / "absent.json", 10)
    with pytest.raises(UserError, match="there is no token"):
        read_vocabulary(written("\n\n", tmp_path, "lines.txt"), 10)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({}, "a tokenizer of the kind None, known are gpt2, llama, t5, bert"),
        (gguf("rwkv\x1b", ["a"]), "of the kind 'rwkv\\x1b'"),
        (gguf(["gpt2"], ["a"]), "of the kind ['gpt2']"),
        ({"tokenizer.ggml.model": "gpt2"}, "tokenizer.ggml.tokens are missing"),
        (gguf("gpt2", "abc"), "tokenizer.ggml.tokens are no list of strings"),
        (gguf("gpt2", [b"a"]), "tokenizer.ggml.tokens are no list of strings"),
        (gguf("gpt2", []), "there is no token"),
        (gguf("gpt2", ["a"], 1), "token_type are no list of whole numbers"),
        (gguf("gpt2", ["a"], [1.5]), "token_type are no list of whole numbers"),
        (gguf("gpt2", ["a"], [1, 1]), "have 1 tokens and 2 types"),
        (gguf("gpt2", ["a"], merges={"a": 1}), "merges are no list of strings"),
        (gguf("gpt2", ["a", "b"], merges=["a c"], pre="gpt-2"), "joins no tokens"),
        (gguf("gpt2", ["a", "b"], merges=["a b"], pre="gpt-2"), "joins no tokens"),
        (gguf("gpt2", ["a", "b"], merges=["ab"], pre="gpt-2"), "joins no tokens"),
        (gguf("gpt2", ["a", "b"], merges=["a b c"], pre="gpt-2"), "joins no tokens"),
    ],
)
def test_bad_metadata_are_one_sentence(metadata, sentence):
    with pytest.raises(UserError) as caught:
        vocabulary_of_gguf(metadata, 1000)
    assert sentence in one_sentence(caught.value)


def test_types_that_the_format_has_not_and_names_twice_are_no_mistake():
    tokens = described_gguf(gguf("gpt2", ["a", "a", "b"], [1, 1, 99], merges=[], pre=["gpt-2"]))
    assert tokens.kind == ["byte"] * 3
    assert tokens.bytes == [b"a", b"a", b"b"]


def test_a_normalizer_that_replaces_is_no_byte_level_one(tmp_path):
    tokenizer = Tokenizer(models.BPE(numbered(["▁", "a", "▁a"]), [("▁", "a")]))
    tokenizer.normalizer = normalizers.Replace(Regex(" "), "▁")
    tokenizer.decoder = decoders.Replace("▁", " ")
    tokens = described(tokenizer, tmp_path)
    assert tokens.bytes == [b" ", b"a", b" a"]
    assert tokens.unreachable == ["no"] * 3
