"""The vocabulary of a model, from whatever holds it, and its encoder, where that is known."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from deadtokens.errors import UserError
from deadtokens.matrices.spelling import SPACE, Spelling
from deadtokens.text.library import load_tokenizer, require_merges, shown, words_of
from deadtokens.text.local import read_local
from deadtokens.text.vocabulary import byte_of_character

ORDINARY, SPECIAL, RESERVED = "ordinary", "special", "reserved"
WORDPIECE = Spelling(prefix="##")

# In files that hold names alone, these are known as special by their form.
SPECIAL_NAMES = {"[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "<s>", "</s>", "<unk>", "<pad>"}
SPECIAL_NAMES |= {"<mask>", "<bos>", "<eos>", "<|endoftext|>"}

AGAIN = "get it again"
GGUF = "tokenizer.ggml."
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
KINDS = {UNKNOWN: SPECIAL, CONTROL: SPECIAL, USER_DEFINED: SPECIAL, UNUSED: RESERVED}
GGUF_SPELLINGS: dict[str, Callable[[], Spelling]] = {
    "gpt2": lambda: Spelling(alphabet=byte_of_character()),
    "llama": lambda: Spelling(pieces=True),
    "t5": lambda: Spelling(pieces=True),
    "bert": lambda: Spelling(prefix=SPACE),  # marks what begins a word, WordPiece what does not
}
# How each cuts words before the merges. Of others only the name is in the file.
GGUF_WORDS: dict[str, list[pre_tokenizers.PreTokenizer]] = {
    "gpt-2": [],
    "smollm": [pre_tokenizers.Digits(individual_digits=True)],
}


@dataclass(frozen=True)
class Vocabulary:
    """What is known of the tokens of a model before anything is examined.

    Attributes
    ----------
    names : mapping of int to str
        What the vocabulary calls each id, which is not always its text.
    spelling : Spelling
        What the names say of the text.
    stated : mapping of int to str
        'special' or 'reserved', of the ids of which the source says so.
    verbatim : frozenset of int
        The special ones among them that stand in a text as they are called.
    encoder : tokenizers.Tokenizer or None
        What makes the ids of a text, whole and unpadded, and the same ones every time.
    """

    names: Mapping[int, str]
    spelling: Spelling
    stated: Mapping[int, str]
    verbatim: frozenset[int] = frozenset()
    encoder: Tokenizer | None = None


def read_vocabulary(path: str | Path, rows: int) -> Vocabulary:
    """Read a ``tokenizer.json``, a ``vocab.json`` or a ``vocab.txt``.

    Parameters
    ----------
    path : path
        A name that ends in ``.txt`` is that of a list with one token a line.
    rows : int
        Of the model's matrix.

    Raises
    ------
    UserError
        If it is damaged, is none of these, or has ids that are no row of the matrix.
    """
    text = read_local(path).decode("utf-8")
    if Path(path).suffix == ".txt":
        vocabulary = _of_lines(text)
    else:
        content = _parsed(text, path)
        if isinstance(content.get("model"), dict):
            vocabulary = _of_library(text, content, path, rows)
        else:
            vocabulary = _of_ids(content, path)
    _require_rows(vocabulary.names, rows, path)
    return vocabulary


def vocabulary_of_gguf(metadata: Mapping[str, object], rows: int) -> Vocabulary:
    """Return the vocabulary that the header of a GGUF file holds.

    Its encoder is known where the tokens are byte-level, with merges, and words are cut in a known
    way (`GGUF_WORDS`).

    Parameters
    ----------
    metadata : mapping
        The keys and values of the header.
    rows : int
        Of the model's matrix.

    Raises
    ------
    UserError
        If it holds no vocabulary, one of an unknown kind, or one that does not fit itself or the
        matrix.
    """
    model = metadata.get(GGUF + "model")
    if not isinstance(model, str) or model not in GGUF_SPELLINGS:
        raise UserError(
            f"the GGUF metadata have a tokenizer of the kind {shown(model)}, known are "
            f"{', '.join(GGUF_SPELLINGS)}; give the model's tokenizer.json"
        )
    tokens = _gguf_list(metadata, "tokens", str)
    types = _gguf_list(metadata, "token_type", Integral, [NORMAL] * len(tokens))
    merges = _gguf_list(metadata, "merges", str, [])
    if len(types) != len(tokens):
        raise UserError(
            f"the GGUF metadata have {len(tokens)} tokens and {len(types)} types of tokens; "
            "convert the model again"
        )
    names = dict(enumerate(tokens))
    _require_rows(names, rows, "the GGUF metadata")
    return Vocabulary(
        names,
        GGUF_SPELLINGS[model](),
        {i: KINDS[of] for i, of in enumerate(types) if of in KINDS},
        frozenset(i for i, of in enumerate(types) if of == USER_DEFINED),
        _gguf_encoder(metadata, tokens, types, merges),
    )


def _gguf_list(
    metadata: Mapping[str, object], key: str, of: type, default: list | None = None
) -> list:
    values = metadata.get(GGUF + key, default)
    if isinstance(values, list) and all(isinstance(value, of) for value in values):
        return values
    what = "strings" if of is str else "whole numbers"
    found = "are missing" if values is None else f"are no list of {what}"
    raise UserError(f"the GGUF metadata's {GGUF}{key} {found}; convert the model again")


def _gguf_encoder(
    metadata: Mapping[str, object], tokens: list[str], types: list[int], merges: list[str]
) -> Tokenizer | None:
    words = metadata.get(GGUF + "pre")
    known = isinstance(words, str) and words in GGUF_WORDS
    if metadata[GGUF + "model"] != "gpt2" or not merges or not known:
        return None
    ids = {name: i for i, name in enumerate(tokens)}
    pairs = [tuple(merge.split(" ")) for merge in merges]
    require_merges(pairs, ids.keys(), "", "the GGUF metadata", AGAIN)
    with_space = metadata.get(GGUF + "add_space_prefix") is True
    tokenizer = Tokenizer(models.BPE(ids, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*GGUF_WORDS[words], pre_tokenizers.ByteLevel(add_prefix_space=with_space)]
    )
    added = (name for name, of in zip(tokens, types, strict=True) if of in (CONTROL, USER_DEFINED))
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in added])
    return tokenizer


def _parsed(text: str, path: str | Path) -> dict:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged, it is no JSON ({words_of(error)}); get the file again"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds neither a tokenizer nor ids of tokens; give another file")
    return content


def _of_lines(text: str) -> Vocabulary:
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    names = {i: name for i, name in enumerate(lines) if name}
    return Vocabulary(names, WORDPIECE, _by_name(names))


def _of_ids(content: Mapping[str, object], path: str | Path) -> Vocabulary:
    for name, i in content.items():
        if type(i) is not int or i < 0:
            raise UserError(
                f"{path}: the token {shown(name)} has the id {shown(i)}, which is none; "
                "give a tokenizer.json, or a vocabulary that gives each token its id"
            )
    _require_one_name_each(content, path)
    names = {i: name for name, i in content.items()}
    return Vocabulary(names, _guessed_spelling(content.keys()), _by_name(names))


def _by_name(names: Mapping[int, str]) -> dict[int, str]:
    return {i: SPECIAL for i, name in names.items() if name in SPECIAL_NAMES}


def _guessed_spelling(names: Sequence[str]) -> Spelling:
    alphabet = byte_of_character()
    if alphabet.keys() <= names:
        return Spelling(alphabet=alphabet)
    if any(name.startswith(SPACE) for name in names):
        return Spelling(pieces=True)
    return WORDPIECE if any(name.startswith(WORDPIECE.prefix) for name in names) else Spelling()


def _of_library(text: str, content: dict, path: str | Path, rows: int) -> Vocabulary:
    tokenizer = _whole(load_tokenizer(text, path, AGAIN))
    ids = tokenizer.get_vocab(with_added_tokens=True)
    _require_one_name_each(ids, path)
    added = tokenizer.get_added_tokens_decoder()
    return Vocabulary(
        {i: name for i in range(rows) if (name := tokenizer.id_to_token(i)) is not None}
        | {i: name for name, i in ids.items()},
        _spelling_of(content),
        dict.fromkeys(added, SPECIAL),
        frozenset(i for i, token in added.items() if not token.special),
        tokenizer,
    )


def _whole(tokenizer: Tokenizer) -> Tokenizer:
    """Let a tokenizer neither cut nor fill up what it is given, and leave nothing to chance."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if isinstance(tokenizer.model, models.BPE):
        tokenizer.model.dropout = None
    return tokenizer


def _spelling_of(content: dict) -> Spelling:
    model = content["model"]
    parts = [content.get(part) for part in ("normalizer", "pre_tokenizer", "decoder")]
    kinds = set(_types_in(parts))
    if "ByteLevel" in kinds:
        return Spelling(byte_of_character(), suffix=model.get("end_of_word_suffix") or "")
    return Spelling(
        pieces=SPACE in json.dumps(parts, ensure_ascii=False) or bool(model.get("byte_fallback")),
        prefix=model.get("continuing_subword_prefix") or "",
        suffix=model.get("end_of_word_suffix") or "",
    )


def _types_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from [value["type"]] if isinstance(value.get("type"), str) else []
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _types_in(part)


def _require_one_name_each(ids: Mapping[str, int], path: str | Path) -> None:
    seen: dict[int, str] = {}
    for name, i in ids.items():
        if seen.setdefault(i, name) != name:
            raise UserError(
                f"{path}: the tokens {shown(seen[i])} and {shown(name)} have the same id, {i}; "
                "get the file again"
            )


def _require_rows(names: Mapping[int, str], rows: int, source: object) -> None:
    if not names:
        raise UserError(f"{source}: there is no token; give the tokenizer of the model")
    beyond = sum(i >= rows for i in names)
    if beyond:
        raise UserError(
            f"{source}: the matrix has {rows:,} rows, but ids go up to {max(names):,} "
            f"({beyond:,} of them are no row); give the tokenizer of this model"
        )
