"""A tokenizer of the library from JSON that may be hostile: at some of it the library aborts."""

import json
from collections.abc import Sequence, Set

from tokenizers import Tokenizer

from deadtokens.errors import UserError
from deadtokens.text.readable import readable, utf8


def load_tokenizer(text: str, source: object, remedy: str) -> Tokenizer:
    """Return the tokenizer of a JSON text.

    Parameters
    ----------
    text : str
    source : path or str
        Where it comes from, and
    remedy : str
        what is to be done if it is damaged, for the errors.

    Raises
    ------
    UserError
        If it holds no tokenizer.
    """
    try:
        _require_merges_of_bpe(json.loads(text), source, remedy)
        return Tokenizer.from_str(text)
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # what the library does not expect is no Exception
        raise UserError(f"{source} holds no tokenizer ({words_of(error)}); {remedy}") from error


def _require_merges_of_bpe(content: object, source: object, remedy: str) -> None:
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        return
    merges, vocabulary = model.get("merges"), model.get("vocab")
    if isinstance(merges, list) and isinstance(vocabulary, dict):
        lines = [merge for merge in merges if not str(merge).startswith("#version")]
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in lines]
        prefix = str(model.get("continuing_subword_prefix") or "")
        require_merges(pairs, vocabulary.keys(), prefix, source, remedy)


def require_merges(
    pairs: Sequence[Sequence[str]], names: Set[str], prefix: str, source: object, remedy: str
) -> None:
    """Require that merges join tokens to tokens: the library can abort the process at others.

    Raises
    ------
    UserError
        If one does not.
    """
    for pair in pairs:
        match pair:
            case [str(left), str(right)] if {
                left,
                right,
                left + right.removeprefix(prefix),
            } <= names and right.startswith(prefix):
                continue
        raise UserError(f"{source}: the merge {shown(pair)} joins no tokens; {remedy}")


def shown(value: object) -> str:
    """Return a hostile value as a few printable words."""
    line = readable(utf8(repr(value) if not isinstance(value, str) else f"'{value}'"))
    return line if len(line) <= 60 else line[:60] + "…"


def words_of(error: BaseException) -> str:
    """Return what an error says, which may quote hostile text, as a few printable words."""
    return readable(utf8(str(error)))[:200]
