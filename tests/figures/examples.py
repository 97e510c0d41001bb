"""What each figure is drawn from in the tests that hold for all of them."""

from collections.abc import Callable, Sequence
from importlib import import_module
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from figures.drift_data import drift, ended
from figures.figure_data import (
    ALIKE,
    attribution,
    census,
    compared,
    diverged,
    flow,
    freezing,
    freezing_in_depth,
    moving,
    outcomes,
    read_table,
    scalars,
    sharpening,
    stillness,
    storage,
    tensors,
    varied,
)
from figures.gradient_data import gradients, start
from figures.matrix_data import clouded, examined, history, random_matrix
from matplotlib.figure import Figure

from deadtokens.cli import call
from deadtokens.figures import style
from deadtokens.study.figures import CLOUDS, FIGURES, OF_MATRICES, Scope

NAMES = [name for name in (*FIGURES, *OF_MATRICES) if name != "audit"]  # that one reads JSON
OF_OUTCOMES = [name for name, source in FIGURES.items() if source.scope is Scope.EXPERIMENT]
OF_A_MATRIX = [*OF_MATRICES]
WITHOUT_RUNS = (*OF_OUTCOMES, *OF_A_MATRIX, "census", "storage", "tensors", "initial_softmax")
DRIFT = ("path", "scree", "directions", "dependence", "bulk", "endpoint")
GRADIENTS = ("firststep", "pathways", "second_moment", "prediction")
IN_DEPTH = ("phases", "survival", "forecast", "ulps", "strata", "sharpening")
MODULES = {name: import_module(f"deadtokens.figures.{name}") for name in NAMES}
HOSTILE = ["$\\frac{", "=cmd()", "<script>", "_", "ก"]
VARIED = {
    "outcomes": {"note": HOSTILE},
    "effects": {"note": HOSTILE[:2], "other": HOSTILE[2:4]},
    "factorial": {"note": HOSTILE[:2], "other": HOSTILE[2:4], "precision": ["fp32", "mixed"]},
    "sweep": {"note": HOSTILE[:2], "beta2": [0.9, 0.997, 0.999]},
    "remedies": {"precision": list(style.REGIMES)},
    "walls": {"note": HOSTILE},
}


def datasets(name: str) -> list[xr.Dataset]:
    """Return two runs of hostile settings, one diverged; or a vocabulary, costs, outcomes."""
    if name in OF_OUTCOMES:
        return [varied(VARIED[name], seeds=2, diverged=1.0, last_motion="$\\frac{ =cmd()")]
    if name == "census":
        return [census([("a", "=cmd()", 5, ""), ("b", "<script>", 0, "$\\frac{")], "input-0")]
    if name == CLOUDS:
        return [clouded("=cmd()"), clouded("$\\frac{")]
    if name in OF_A_MATRIX:
        return [random_matrix()]
    if name == "storage":
        return [storage(np.geomspace(1 / 3, 1e5, 24).reshape(3, 2, 4), run="$\\frac{")]
    if name == "initial_softmax":
        return [start()]
    if name == "tensors":
        return [tensors(np.geomspace(1 / 3, 1e5, 16).reshape(4, 4), run="$\\frac{")]
    settings = [{"precision": "fp32", "note": "$\\frac{"}, {"precision": "mixed", "note": "=cmd()"}]
    if name in DRIFT:
        first, second = (drift(run=f"r{n}", **setting) for n, setting in enumerate(settings))
        return [first, ended(second, 9)]
    if name == "indicator_history":
        first, second = (
            history([0.4, 1 / 3, 0.96, 1], [0, 1, 5, 500], f"r{n}", seen_from=5, **setting)
            for n, setting in enumerate(settings)
        )
        return [first, second.assign_attrs(status="diverged", diverged_at=501)]
    if name == "gradient_flow":
        first, second = (flow(run=f"r{n}", **setting) for n, setting in enumerate(settings))
        return [first, second.assign_attrs(status="diverged", diverged_at=501)]
    if name == "loss":
        runs = [
            scalars([8, 7, 0.1, 5], run=f"r{n}", **setting) for n, setting in enumerate(settings)
        ]
    elif name in GRADIENTS:
        runs = [gradients(run=f"r{n}", **setting) for n, setting in enumerate(settings)]
    elif name == "causes":
        runs = [
            stillness([0, 1 / 3, 0.7, 1], [ALIKE] * 4, run=f"r{n}", **setting)
            for n, setting in enumerate(settings)
        ]
    elif name in IN_DEPTH:
        make = sharpening if name == "sharpening" else freezing_in_depth
        runs = [make(run=f"r{n}", **setting) for n, setting in enumerate(settings)]
    elif name in {"shares", "ages"}:
        terms = [(0, 0.1, 0.8, 0.1), (0, 1 / 3, 9, -25 / 3), (0, 0, 1, 0), (0, 0, 1, 0)]
        runs = [
            attribution(terms, [1e-3, 1e-4, 0, 0], run=f"r{n}", **setting)
            for n, setting in enumerate(settings)
        ]
    else:
        quantiles = np.geomspace(1e-9, 1 / 3, 40).reshape(4, 2, 5)
        quantiles[2, 0] = 0
        runs = [
            freezing([(1 / 3, 0.1)] * 4, run=f"r{n}", quantiles=quantiles, **setting)
            for n, setting in enumerate(settings)
        ]
    return [runs[0], diverged(runs[1], at=3)]


def of_each_regime(
    make: Callable[..., xr.Dataset], at: int | None = None, **fields: object
) -> list[xr.Dataset]:
    """Return a run of each regime, the second of which diverged at update `at`."""
    runs = [make(run=name, precision=name, **fields) for name in style.REGIMES]
    return runs if at is None else [runs[0], diverged(runs[1], at), *runs[2:]]


def falling_runs(number: int) -> list[xr.Dataset]:
    fall = 10.0 ** -np.linspace(2, 8, 30)
    fall[20:] = 0
    rates = range(1, number + 1)
    runs = [
        moving(fall, fall + 1e-3, run=f"r{lr}", precision="pure-bf16", learning_rate=lr / 1000)
        for lr in rates
    ]
    return [*runs[:-1], diverged(runs[-1], 12)]


def rising_fractions() -> list[xr.Dataset]:
    rising = np.linspace(0, 1, 50)
    runs = [
        freezing(np.column_stack([rising * place / 4, 0 * rising]), run=name, precision=name)
        for place, name in enumerate(style.REGIMES)
    ]
    return [runs[0], diverged(runs[1], 20), diverged(runs[2], 27), *runs[3:]]


def falling_losses() -> list[xr.Dataset]:
    falling = 4 + 4 * np.exp(-np.arange(300) / 60)
    runs = [
        scalars(falling + 0.1 * place, run=f"{name}{lr}", precision=name, lr=lr)
        for place, name in enumerate(style.REGIMES)
        for lr in (0.001, 0.003)
    ]
    runs[3], runs[6] = diverged(runs[3], 120), diverged(runs[6], 150)
    return runs


def causes_with_hostile_names() -> list[xr.Dataset]:
    runs = [
        stillness(np.linspace(0, 1, 60), [ALIKE] * 60, run=name, precision=name, note=note)
        for name, note in zip(style.REGIMES, HOSTILE, strict=False)
    ]
    return [runs[0], diverged(runs[1], 20), *runs[2:]]


def two_vocabularies() -> list[xr.Dataset]:
    rows = [("x", f"a script named {n}", 5 + n, "") for n in range(12) for _ in range(200 * n + 1)]
    dead = [("x", "Thai", 0, cause) for cause in ("other script", "byte never used") * 600]
    return [census(rows + dead, "one"), census(rows[500:] + dead[700:], "two " * 20)]


def random_shares() -> list[xr.Dataset]:
    generator = np.random.default_rng(0)
    return [
        attribution(
            generator.normal(0, 30, (5000, 4)),
            generator.random(5000),
            run=name,
            ages=generator.normal(0, 30, (5000, 5)),
            precision=name,
        )
        for name in style.REGIMES
    ]


def of_rates(number: int) -> list[xr.Dataset]:
    return [gradients(1200, f"r{n}", precision="fp32", learning_rate=n) for n in range(number)]


def of_layers(layers: int) -> list[xr.Dataset]:
    return [flow(layers, run=name, precision=name) for name in ("pure-bf16", "fp32")]


def drifts() -> Sequence[xr.Dataset]:
    return [
        drift(run=name, thermal=0.5 + i, precision=name) for i, name in enumerate(style.REGIMES)
    ]


def squares() -> xr.Dataset:
    """Return outcomes of three settings that are varied over a full grid, with two seeds."""
    grid = product(("pure-bf16", "fp32"), (0.001, 0.0003), (0.0, 0.1))
    settings = [{"precision": one, "lr": lr, "weight_decay": decay} for one, lr, decay in grid]
    values = np.random.default_rng(0).random((len(settings), 2))
    return compared(
        [
            (setting | {"seed": seed}, values[place, seed])
            for place, setting in enumerate(settings)
            for seed in range(2)
        ]
    )


def second_moment(seeds: int) -> xr.Dataset:
    """Return outcomes of 14 settings, which have 32 contrasts."""
    rates = [0.95, 0.99, 0.996, 0.997, 0.998, 0.999, 0.9999]
    return varied({"precision": ["pure-bf16", "bf16-weights"], "beta2": rates}, seeds)


LONG_NAMES = [f"{name} {'of a very long name ' * 4}" for name in style.REGIMES]
LONG_NAME = "precision-fp32_lr-0.0003_" + "x" * 60
COSTS = [[2e5, 5e5, 3e5, 9.5e5], [1e-3, 4e-3, 3e-3, 2e-3], [1e9, 4e9, 4e9, 4e9], [0, 0, 7e6, 0]]
OF_MATRIX_CROWDS = {
    "everything": random_matrix,
    "shared bits": lambda: random_matrix(known=0, shared=10),
    "large": lambda: random_matrix(tokens=200_000, known=2000),
    "a long name": lambda: random_matrix().assign_attrs(model="x" * 90, matrix="layer." * 30),
    "nothing known": lambda: examined({"norm": [1, 2, 3], "to_mean": [1, 2, 3]}),
}
CROWDS_OF_CLOUDS = {
    "several": lambda: [clouded(name) for name in LONG_NAMES[:5]],
    "a long name": lambda: [clouded("x" * 90).assign_attrs(matrix="layer." * 30)],
    "one vector": lambda: [clouded(deviation=0.0)],
    "bfloat16": lambda: [clouded(format="bfloat16", deviation=1e-3)],
}

# What a figure has to find room for: its name, then what there is much of.
CROWDS: dict[tuple[str, str], Callable[[], Sequence[xr.Dataset]]] = {
    ("loss", "regimes and rates"): falling_losses,
    ("frozen", "regimes"): rising_fractions,
    ("still", "regimes"): lambda: [*rising_fractions()[:2], *rising_fractions()[3:]],
    **{("displacement", f"{number} runs"): lambda n=number: falling_runs(n) for number in (2, 5)},
    ("phases", "regimes"): lambda: of_each_regime(freezing_in_depth, at=200, updates=1500),
    ("strata", "regimes"): lambda: of_each_regime(freezing_in_depth, updates=150),
    **{
        (name, "regimes"): lambda: of_each_regime(freezing_in_depth, at=60, updates=150)
        for name in ("survival", "forecast", "ulps")
    },
    ("sharpening", "regimes"): lambda: of_each_regime(sharpening, at=60, updates=150),
    **{(name, "regimes"): drifts for name in DRIFT},
    ("census", "scripts"): two_vocabularies,
    **{(name, "regimes"): random_shares for name in ("shares", "ages")},
    ("causes", "hostile names"): causes_with_hostile_names,
    **{
        ("gradient_flow", f"{number} layers"): lambda n=number: of_layers(n) for number in (1, 2, 5)
    },
    ("initial_softmax", "nothing"): lambda: [start()],
    **{
        (name, crowd): lambda make=make: [make()]
        for name in OF_A_MATRIX
        for crowd, make in OF_MATRIX_CROWDS.items()
    },
    **{(CLOUDS, crowd): make for crowd, make in CROWDS_OF_CLOUDS.items()},
    ("indicator_history", "regimes"): lambda: [
        history(np.linspace(0.5, 1, 60), [0, *range(1, 60)], name, 57, precision=name)
        for name in style.REGIMES
    ],
    ("indicator_history", "one of many sees"): lambda: [
        history(np.linspace(0.5, 1, 3), [0, 1, 10**6], f"r{seed}", at, precision="fp32", seed=seed)
        for seed, at in enumerate([10**6, *[-1] * 99])
    ],
    ("indicator_history", "many updates"): lambda: [
        history(np.linspace(0.5, 1, 8), [0, *10 ** np.arange(7)], "a", 10**6, precision="fp32")
    ],
    **{
        (name, f"{number} runs"): lambda n=number: of_rates(n)
        for name in GRADIENTS
        for number in (1, 5)
    },
    **{
        (name, f"{seeds} seeds"): lambda n=name, seeds=seeds: [varied(VARIED[n], seeds)]
        for name in OF_OUTCOMES
        for seeds in (1, 10)
    },
    **{
        (name, f"{len(settings)} long names"): lambda n=name, s=settings: [
            varied({"note": s}, 5, loss="a reason " * 20, last_motion="another", diverged=1.0)
        ]
        for name in ("outcomes", "effects", "walls")
        for settings in (LONG_NAMES[:2], LONG_NAMES)
    },
    ("outcomes", "second moment"): lambda: [second_moment(5)],
    ("effects", "second moment"): lambda: [second_moment(5)],
    ("walls", "second moment"): lambda: [second_moment(5)],
    ("factorial", "long names"): lambda: [
        varied(dict.fromkeys(("one", "other"), LONG_NAMES[:4]), 5)
    ],
    **{
        ("factorial", f"{number} panels"): lambda n=number: [
            varied({"precision": LONG_NAMES[:n], "lr": [1e-3, 3e-4], "beta1": [0.0, 0.5, 0.9]}, 5)
        ]
        for number in (2, 4)
    },
    ("sweep", "second moment"): lambda: [second_moment(5)],
    ("sweep", "starts"): lambda: [
        varied(
            {
                "note": LONG_NAMES,
                "init_std": [0.02],
                "embedding_std": [None, 0.005, 0.01, 0.045, 1.0],
            },
            2,
        )
    ],
    ("sweep", "many values"): lambda: [varied({"lr": np.geomspace(1e-5, 1, 40).tolist()}, 1)],
    ("remedies", "five"): lambda: [
        varied({"precision": ["fp32", "mixed", "bf16-weights", "pure-bf16"]}, 5, loss="none")
    ],
    ("effects", "one seed"): lambda: [outcomes({(name, 0): 0.1 for name in HOSTILE})],
    ("effects", "one run"): lambda: [outcomes({("a", 0): np.nan})],
    ("effects", "ten seeds"): lambda: [
        outcomes({(name, seed): 1e-5 * seed + 2 for name in style.REGIMES for seed in range(10)})
    ],
    ("effects", "squares"): lambda: [squares()],
    ("storage", "digits"): lambda: [
        storage(np.geomspace(1e-4, 3e6, 24).reshape(3, 2, 4), run=LONG_NAME)
    ],
    ("tensors", "digits"): lambda: [tensors(np.array(COSTS), run=LONG_NAME)],
}


def inputs(name: str, folder: Path) -> list[str]:
    """Write the files that a figure is drawn from."""
    paths = []
    for place, dataset in enumerate(datasets(name)):
        paths.append(folder / f"input-{place}" / f"{name}.nc")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        dataset.to_netcdf(paths[-1], engine="h5netcdf")
    return [str(path) for path in paths]


def picture(figure: Figure, **about: str) -> bytes:
    """Return a figure as PNG."""
    buffer = BytesIO()
    with style.look():
        figure.savefig(buffer, format="png", dpi=style.DOTS_PER_INCH, metadata=about)
    return buffer.getvalue()


def command(name: str, folder: Path, title: str) -> tuple[dict[str, bytes], pd.DataFrame]:
    """Draw a figure by its command; return the files by their endings, and its CSV's table."""
    output = folder / "out" / f"a.b-{name}.png"
    call("figure", [name, "--output", str(output), "--title", title, *inputs(name, folder)])
    files = {path.suffix: path.read_bytes() for path in output.parent.iterdir()}
    return files, read_table(output.with_name(f"a.b-{name}.csv"), MODULES[name].TYPES)
