"""What the audit of a record found: which replay gives its bits back, or how far each is off."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from deadtokens.audit.reading import in_words
from deadtokens.paper.recordings import replay_in_words
from deadtokens.paper.words import number

OWN = "the run's own update"
Tallies = Mapping[str, Mapping[str, Any]]


class Tried(NamedTuple):
    """A replay: of which tensor, and what came of it.

    Attributes
    ----------
    replay, tensor, compared, differing, furthest : str
        Written; `furthest` is the largest distance in ulps, '' if that is not known.
    """

    replay: str
    tensor: str
    compared: str
    differing: str
    furthest: str


def answer(audit: Mapping[str, Any]) -> str:
    """Return in a sentence what an audit found."""
    if "reproduced_by" in audit:
        sentence = replay_in_words(audit)
        return f"{sentence[0].upper()}{sentence[1:]}."
    tallies = [*audit["tensors"].values(), *audit["checksums"].values()]
    compared, differing = (
        sum(tally[count] for tally in tallies) for count in ("compared", "differing")
    )
    return (
        f"Replayed from the first state and the gradients: {number(differing)} of "
        f"{number(compared)} values and checksums differ."
    )


def tried(audit: Mapping[str, Any]) -> Iterator[Tried]:
    """Yield each replay that was tried, tensor by tensor."""
    if "implementations" not in audit:
        yield from _rows(OWN, {**audit["tensors"], **audit["checksums"]})
        return
    for name, found in audit["implementations"].items():
        if "refused" in found:
            yield Tried(in_words(name), "", "", f"not tried: {found['refused']}", "")
        else:
            yield from _rows(in_words(name), found["tensors"])


def controls(audit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the replays that are wrong on purpose, and how many values of W they get wrong."""
    return [
        (name, f"{number(one['differing'])} of {number(one['compared'])}")
        for name, one in audit["controls"].items()
    ]


def _rows(replay: str, tallies: Tallies) -> Iterator[Tried]:
    for tensor, tally in tallies.items():
        counts = number(tally["compared"]), number(tally["differing"])
        furthest = number(tally["largest_ulps"]) if "largest_ulps" in tally else ""
        yield Tried(replay, tensor, *counts, furthest)
