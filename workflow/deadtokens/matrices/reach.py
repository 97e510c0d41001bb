"""Which tokens an encoder never makes."""

from collections.abc import Callable, Iterator, Mapping, Sequence

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
    left, failed = dict(texts), set()
    for trial in _trials(encoder, left, ends_words):
        returned, refused = trial()
        failed |= refused
        for i in returned:
            del left[i]
        if not left:
            break
    return {i: NO if i not in left else UNKNOWN if i in failed else YES for i in texts}


def _trials(
    encoder: Tokenizer, left: Mapping[int, str], ends_words: bool
) -> Iterator[Callable[[], tuple[set[int], set[int]]]]:
    """Yield ways to find the ids that return, of those that are left by then."""
    neighbours = _neighbours(left.values())
    yield lambda: _decoded_and_encoded(encoder, left)
    places = [("", "")]
    for character in neighbours:
        places += [(character, ""), ("", character)] if ends_words else [(character, "")]
    for before, after in places:
        yield lambda before=before, after=after: _encoded(encoder, left, before, after)


def _neighbours(texts: Sequence[str]) -> list[str]:
    characters = dict.fromkeys(c for c in texts if len(c) == 1 and c.isprintable() and c != " ")
    return list(characters)[:: -(-len(characters) // NEIGHBOURS) or 1]


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
