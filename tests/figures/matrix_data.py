"""Small datasets as `deadtokens examine` and `deadtokens indicators` write them."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from deadtokens.matrices.examination import examine
from deadtokens.matrices.indicators import INDICATORS
from deadtokens.matrices.matrix import Array
from deadtokens.matrices.tokenizer import ORDINARY, RESERVED
from deadtokens.matrices.tokens import Tokens
from deadtokens.statistics.roc import area_under_curve

TOKENS, WIDTH, CLOUD, NEAR = 500, 16, 80, 5  # of a matrix with a cloud
MODEL = "$\\frac{ =cmd().gguf"


def examined(
    values: Mapping[str, Sequence[float]],
    known: Sequence[int] = (),
    reference: Sequence[int] = (),
    suspects: Sequence[int] = (),
    holes: Sequence[tuple[int, int, int, int]] = (),
    strings: Sequence[str] = (),
    **about: str,
) -> xr.Dataset:
    """Return an examined matrix.

    Parameters
    ----------
    values : mapping of str to sequence of float
        Of each indicator, the tokens' values.
    known, reference, suspects : sequence of int
        Tokens.
    holes : sequence of (int, int, int, int)
        First token, tokens, vectors, and tokens on the vector that has the most.
    strings : sequence of str
        Of the first tokens.
    **about : str
        Attributes besides.
    """
    tokens = len(values["norm"])
    flags = {"known": known, "reference": reference, "suspect": suspects}
    chosen = {name: np.isin(np.arange(tokens), places) for name, places in flags.items()}
    asked = ~chosen["reference"]
    arrays = {name: np.asarray(one, np.float32) for name, one in values.items()}
    areas = [area_under_curve(one[asked], chosen["known"][asked]) for one in arrays.values()]
    names = [*strings, *(f"word{index}" for index in range(len(strings), tokens))]
    sizes = np.array(holes, np.int64).reshape(-1, 4).T
    of_holes = dict(zip(("first", "tokens", "vectors", "largest"), sizes, strict=True))
    of_holes |= {"components": 3 * sizes[2], "extent": 1.0 * sizes[2]}
    return xr.Dataset(
        {
            "token_string": ("token", np.array(names, dtype=object)),
            **{name: ("token", one) for name, one in arrays.items()},
            "kind": ("token", np.full(tokens, ORDINARY, dtype=object)),
            "known": ("token", chosen["known"]),
            "reference": ("token", chosen["reference"]),
            "why": ("token", np.where(chosen["suspect"], "untrained", "").astype(object)),
            **{
                name: ("indicator", np.array([getattr(area, end) for area in areas]))
                for name, end in (("area", "value"), ("area_low", "low"), ("area_high", "high"))
            },
            **{f"hole_{name}": ("hole", array) for name, array in of_holes.items()},
        },
        coords={
            "token": np.arange(tokens),
            "indicator": list(values),
            "hole": np.arange(1, len(holes) + 1),
        },
        attrs={
            "model": MODEL,
            "matrix": "<script>",
            "format": "q8_0",
            "vocabulary_size": tokens,
            "width": 8,
            "known_tokens": int(chosen["known"].sum()),
        }
        | about,
    )


def random_matrix(tokens: int = 300, known: int = 40, shared: int = 0) -> xr.Dataset:
    """Return a matrix of which the first tokens are known to be unused, or share their bits."""
    generator = np.random.default_rng(0)
    values = {name: generator.normal(2, 0.3, tokens) for name in INDICATORS}
    for one in values.values():
        one[: known + shared] -= 1
    holes = [(3 * place, 10_000 // (place + 1), 1 + place, 3) for place in range(60)]
    reference = range(0, known, 2) if known else range(shared)
    strings = ["$\\frac{", "=cmd()", "<script>", "x" * 128, "ก" * 40, "\\u202eevil" * 9]
    return examined(
        values, range(known), reference, range(60, 70), holes, strings, left_out="near rows"
    )


def clouded(name="theirs", cloud=CLOUD, deviation=0.01, format="float32"):
    """Return an examined matrix: a cloud, NEAR other rows within it, and the rest far from it."""
    generator = np.random.default_rng(0)
    rows = generator.normal(0, 1, (TOKENS, WIDTH))
    if cloud:
        rows[: cloud + NEAR] = 0.5 + deviation * rows[: cloud + NEAR]
        rows[cloud : cloud + NEAR] = rows[:cloud].mean(0)
    rows = (rows.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
    names = [f"[unused{i}]" if i < cloud else "$\\frac{" for i in range(TOKENS)]
    tokens = Tokens(
        bytes=[b""] * TOKENS,
        readable=names,
        script=["none"] * TOKENS,
        kind=[RESERVED] * cloud + [ORDINARY] * (TOKENS - cloud),
        unreachable=["unknown"] * TOKENS,
    )
    found = examine(Array("<script>", *rows.shape, format, rows), tokens)
    return found.assign_attrs(model=name)


def history(
    area: Sequence[float],
    states: Sequence[int],
    run: str = "a",
    seen_from: int = -1,
    **settings: object,
) -> xr.Dataset:
    """Return what each indicator sees of a run; `area` is that of the first, others have less."""
    falling = np.asarray(area, "float64") / np.arange(1, len(INDICATORS) + 1)[:, None]
    both = ("indicator", "state")
    seen = np.full(len(INDICATORS), -1)
    seen[0] = seen_from
    return xr.Dataset(
        {
            "area": (both, falling),
            "area_low": (both, falling * 0.9),
            "area_high": (both, np.minimum(falling * 1.1, 1)),
            "seen_from": ("indicator", seen),
        },
        coords={"indicator": list(INDICATORS), "state": list(states)},
        attrs={"run": run, "spec": json.dumps(settings), "status": "complete"},
    )
