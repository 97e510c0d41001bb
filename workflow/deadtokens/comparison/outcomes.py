"""Compare the runs of an experiment: every outcome of each, and effects paired by seed.

Seeds are the unit: an effect is the mean of what one change does within each seed, and its interval
says how far seeds differ. One seed gives no interval. No p-value is made.
"""

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from deadtokens.arguments import add_called, add_output
from deadtokens.comparison.effects import Design, Draw, differences, summarize, unit_of, units
from deadtokens.comparison.labels import COORDINATES, OF_CONTRASTS, OF_RUNS, VARIABLES
from deadtokens.comparison.measures import OUTCOMES, PRIMARY
from deadtokens.comparison.members import Experiment, read_experiment
from deadtokens.comparison.settings import SEED, short
from deadtokens.comparison.shapes import PRECISION
from deadtokens.comparison.tables import NO_INTERVAL, SUMMARY, effects_table, outcomes_table
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
    values = _of_runs(experiment) | _of_settings(experiment) | _of_contrasts(experiment)
    found = label(values, VARIABLES | OF_RUNS | OF_CONTRASTS, COORDINATES)
    draws = experiment.draws()
    about = {
        "primary": PRIMARY,
        "unit": unit_of(draws),
        "seeds": len(set(units(draws))),
        "inference": _inference(draws),
    }
    return found.set_coords([*OF_RUNS, *OF_CONTRASTS]).assign_attrs(about)


def _inference(draws: Sequence[Draw]) -> str:
    unit, number = short(unit_of(draws)), len(set(units(draws)))
    if number == 1:
        return NO_INTERVAL
    if unit != SEED:
        about = "all of one seed of the weights; pairs share their batch seed"
    elif len(set(draws)) > number:
        about = "over whose batch seeds the effects are averaged; pairs share both"
    else:
        about = "pairs share their seed"
    return f"{number} {unit}s, the unit of every mean and interval; {about}"


def _of_runs(experiment: Experiment) -> dict[str, object]:
    members = experiment.members
    varied = experiment.varied
    shape = len(members), len(varied.keys)
    return {
        "run": experiment.names(),
        "outcome": list(OUTCOMES),
        "key": _texts(varied.keys),
        "seed": units(experiment.draws()),
        "label": [experiment.label(member) for member in members],
        "group": [experiment.group(member) for member in members],
        "regime": [str(member.spec.get(PRECISION, "")) for member in members],
        "setting": _texts(varied.settings).reshape(shape),
        "number": np.array(varied.numbers, float).reshape(shape),
        "meaning": [outcome.long_name for outcome in OUTCOMES.values()],
        "unit": [outcome.unit for outcome in OUTCOMES.values()],
        "value": experiment.outcomes(),
        "reason": [[member.outcome(name)[1] for name in OUTCOMES] for member in members],
    }


def _of_settings(experiment: Experiment) -> dict[str, object]:
    """Return how many runs each setting has, their mean and how far they differ."""
    groups = [experiment.group(member) for member in experiment.members]
    by_setting = pd.DataFrame(experiment.outcomes()).groupby(groups, sort=False)
    return {
        "level": _texts(by_setting.count().index),
        "setting_runs": by_setting.count().to_numpy(),
        "setting_mean": by_setting.mean().to_numpy(),
        "setting_deviation": by_setting.std().to_numpy(),
    }


def _of_contrasts(experiment: Experiment) -> dict[str, object]:
    keys, settings = experiment.varied.keys, experiment.varied.settings
    draws, values = experiment.draws(), experiment.outcomes()
    found = Design(keys, settings).contrasts()
    pairs = sorted(set(units(draws)))
    shape = len(found), len(pairs), len(OUTCOMES)
    samples = np.array([differences(one, settings, draws, values) for one in found]).reshape(shape)
    samples = np.moveaxis(samples, 1, 2)  # (contrasts, outcomes, seeds)
    summaries = [summarize(sample) for sample in samples.reshape(-1, len(pairs))]
    columns = pd.DataFrame(summaries, columns=SUMMARY)
    return {
        "contrast": _texts([one.label for one in found]),
        "pair": pairs,
        **{name: _texts([getattr(one, name) for one in found]) for name in OF_CONTRASTS},
        "before": _texts([one.before for one in found]).reshape(len(found), len(keys)),
        "after": _texts([one.after for one in found]).reshape(len(found), len(keys)),
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
    add_called(parser)
    add_output(parser)
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="table of outcomes")
    parser.add_argument(
        "--effects", type=Path, required=True, metavar="FILE", help="table of effects"
    )


def main(options: Namespace) -> None:
    """Run the command ``outcomes``."""
    comparison = compare(read_experiment(options.runs, options.factors, dict(options.called)))
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
