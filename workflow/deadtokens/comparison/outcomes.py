"""Compare the runs of an experiment: every outcome of each, and effects paired by seed.

Seeds are the unit: an effect is the mean of what one change does within each seed, and its interval
says how far seeds differ. One seed gives no interval. No p-value is made.
"""

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from deadtokens.arguments import add_output
from deadtokens.comparison.effects import Design, differences, summarize
from deadtokens.comparison.labels import COORDINATES, OF_CONTRASTS, OF_RUNS, VARIABLES
from deadtokens.comparison.measures import OUTCOMES, PRIMARY
from deadtokens.comparison.members import Experiment, read_experiment
from deadtokens.comparison.settings import SEED, named
from deadtokens.comparison.shapes import PRECISION
from deadtokens.comparison.tables import SUMMARY, effects_table, outcomes_table
from deadtokens.files import complete_or_absent
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.run.factors import FACTORS
from deadtokens.tables import write_csv


def compare(experiment: Experiment) -> xr.Dataset:
    """Return the outcomes of all runs and the contrasts between them.

    Returns
    -------
    Dataset
        As `labels` says; the attribute ``primary`` names the primary outcome.
    """
    values = _of_runs(experiment) | _of_contrasts(experiment)
    found = label(values, VARIABLES | OF_RUNS | OF_CONTRASTS, COORDINATES)
    seeds = np.unique(found["seed"])
    about = {"primary": PRIMARY, "seeds": len(seeds), "inference": _inference(len(seeds))}
    return found.set_coords([*OF_RUNS, *OF_CONTRASTS]).assign_attrs(about)


def _inference(seeds: int) -> str:
    if seeds == 1:
        return "one seed: no interval"
    return f"{seeds} seeds, the unit of every mean and interval; pairs share their seed"


def _of_runs(experiment: Experiment) -> dict[str, object]:
    members = experiment.members
    seeds = {member.spec[SEED] for member in members}
    groups = [experiment.group(member) for member in members]
    labels = [
        f"{group}, {named(SEED, member.spec)}" if len(seeds) > 1 else group
        for group, member in zip(groups, members, strict=True)
    ]
    varied = experiment.varied
    shape = len(members), len(varied.keys)
    return {
        "run": experiment.names(),
        "outcome": list(OUTCOMES),
        "key": _texts(varied.keys),
        "seed": [member.spec[SEED] for member in members],
        "label": labels,
        "group": groups,
        "regime": [str(member.spec.get(PRECISION, "")) for member in members],
        "setting": _texts(varied.settings).reshape(shape),
        "number": np.array(varied.numbers, float).reshape(shape),
        "meaning": [outcome.long_name for outcome in OUTCOMES.values()],
        "unit": [outcome.unit for outcome in OUTCOMES.values()],
        "value": experiment.outcomes(),
        "reason": [[member.outcome(name)[1] for name in OUTCOMES] for member in members],
    }


def _of_contrasts(experiment: Experiment) -> dict[str, object]:
    keys, settings = experiment.varied.keys, experiment.varied.settings
    seeds = [member.spec[SEED] for member in experiment.members]
    found = Design(keys, settings).contrasts()
    pairs = sorted(set(seeds))
    shape = len(found), len(pairs), len(OUTCOMES)
    samples = np.array(
        [differences(one, settings, seeds, experiment.outcomes(), pairs) for one in found]
    ).reshape(shape)
    samples = np.moveaxis(samples, 1, 2)  # (contrasts, outcomes, seeds)
    summaries = [summarize(sample) for sample in samples.reshape(-1, len(pairs))]
    columns = pd.DataFrame(summaries, columns=SUMMARY)
    return {
        "contrast": _texts([one.label for one in found]),
        "pair": pairs,
        **{name: _texts([getattr(one, name) for one in found]) for name in OF_CONTRASTS},
        "at_baseline": np.array([one.at_baseline for one in found], bool),
        "difference": samples,
        **{name: columns[name].to_numpy().reshape(samples.shape[:2]) for name in SUMMARY},
    }


def _texts(texts: object) -> np.ndarray:
    """Return texts as an array of them, an empty one too."""
    return np.array(texts, dtype=str)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        help="folders of its runs (results/runs/RUN/steps-N), or derived files of them",
    )
    parser.add_argument(
        "--factors",
        nargs="+",
        choices=FACTORS,
        default=(),
        help="compare by these fields of the precision regime in place of its name",
    )
    add_output(parser)
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="table of outcomes")
    parser.add_argument(
        "--effects", type=Path, required=True, metavar="FILE", help="table of effects"
    )


def main(options: Namespace) -> None:
    """Run the command ``outcomes``."""
    comparison = compare(read_experiment(options.runs, options.factors))
    write(comparison, options.output)
    for table, path in (
        (outcomes_table(comparison), options.csv),
        (effects_table(comparison), options.effects),
    ):
        with complete_or_absent(path) as temporary:
            write_csv(table, temporary)
    sizes = comparison.sizes
    logging.getLogger(__name__).info(
        f"outcomes: {sizes['outcome']} of each of {sizes['run']} runs; contrasts: "
        f"{sizes['contrast']}; {comparison.attrs['inference']}"
    )
