"""Which tokens an encoder never makes."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from tokenizers import Tokenizer

YES, NO, UNKNOWN = "yes", "no", "unknown"
BATCH = 2**13
NEIGHBOURS = 64  # characters, beside which a token is tried


def unreachable(encoder: Tokenizer, texts: Mapping[int, str], ends_words: bool) -> dict[int, str]:
    """Say of each token whether no text was found that gives it.

    The idea is that of "Fishing for Magikarp" (Land and Bartolo, 2024): let the tokenizer write a
    token as text, hand the text back to it, and see whether the same id returns, alone. One that
    does not is never learnt from, however often its text occurs: other tokens spell it.

    That a token does not return alone is not enough where the place in a word counts: a text of
    its own begins a word, and ``##ing`` or a piece without ``▁`` never does. So a token is
    reachable too if it returns behind a character (before one, where the vocabulary marks what
    ends a word) that is encoded as it would be without it. `NEIGHBOURS` characters are tried, one
    after the other, taken evenly from those that are tokens.

    Parameters
    ----------
    encoder : tokenizers.Tokenizer
        Without truncation, padding and dropout.
    texts : mapping of int to str
        The text that each id stands for; special tokens are not added to it.
    ends_words : bool
        Whether the vocabulary marks the tokens that end a word.

    Returns
    -------
    dict of int to str
        'no' if a text gives the token; 'yes' if none of those tried does; 'unknown' if the library
        fails on one of them and no other gives it.
    """
    returned, failed = _decoded_and_encoded(encoder, texts)
    left = _without(texts, returned)
    for before, after in _places(texts.values(), ends_words):
        if not left:
            break
        returned, refused = _encoded(encoder, left, before, after)
        left, failed = _without(left, returned), failed | refused
    return {i: NO if i not in left else UNKNOWN if i in failed else YES for i in texts}


def _without(texts: Mapping[int, str], ids: set[int]) -> dict[int, str]:
    return {i: text for i, text in texts.items() if i not in ids}


def _places(texts: Iterable[str], ends_words: bool) -> list[tuple[str, str]]:
    """Return what to put before and behind a token."""
    characters = dict.fromkeys(t for t in texts if len(t) == 1 and t.isprintable() and t != " ")
    neighbours = list(characters)[:: -(-len(characters) // NEIGHBOURS) or 1]
    behind = [(character, "") for character in neighbours]
    return [("", ""), *behind, *(("", character) for character in neighbours if ends_words)]


def _decoded_and_encoded(encoder: Tokenizer, texts: Mapping[int, str]) -> tuple[set[int], set[int]]:
    def decode(ids: Sequence[int]) -> list[str]:
        return encoder.decode_batch([[i] for i in ids], skip_special_tokens=False)

    decoded = dict(zip(texts, _in_batches(decode, list(texts)), strict=True))
    refused = {i for i, text in decoded.items() if text is None}
    returned, also = _encoded(encoder, {i: t for i, t in decoded.items() if i not in refused})
    return returned, refused | also


def _encoded(
    encoder: Tokenizer, texts: Mapping[int, str], before: str = "", after: str = ""
) -> tuple[set[int], set[int]]:
    """Return the ids that return between the two texts, and those on which the library fails."""

    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in encoder.encode_batch(texts, add_special_tokens=False)]

    start, end = _in_batches(encode, [before, after])
    if start is None or end is None:
        return set(), set()
    found = _in_batches(encode, [before + text + after for text in texts.values()])
    pairs = list(zip(texts, found, strict=True))
    return (
        {i for i, ids in pairs if ids == [*start, i, *end]},
        {i for i, ids in pairs if ids is None},
    )


def _in_batches(call: Callable[[Sequence], list], arguments: Sequence) -> list:
    """Return what the library makes of each argument, None of one on which it fails."""
    results = []
    for start in range(0, len(arguments), BATCH):
        results += _of_batch(call, arguments[start : start + BATCH])
    return results


def _of_batch(call: Callable[[Sequence], list], arguments: Sequence) -> list:
    try:
        return call(arguments)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # what the library does not expect is no Exception
        if len(arguments) == 1:
            return [None]
    half = len(arguments) // 2
    return _of_batch(call, arguments[:half]) + _of_batch(call, arguments[half:])
