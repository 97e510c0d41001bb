"""What the paper says of examined matrices: their rows, and what a training's start explains."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deadtokens.matrices.cloud import INSIDE, others_within, rows_of_cloud
from deadtokens.matrices.indicators import INDICATORS
from deadtokens.netcdf import read
from deadtokens.paper.facts import Facts
from deadtokens.paper.illustrations import illustration
from deadtokens.paper.methods import CONFIGURATION
from deadtokens.paper.sources import CLOUDS, cloud_figure
from deadtokens.paper.words import UNDEFINED, counted, interval, number, percent, shown
from deadtokens.statistics.roc import LEVEL
from deadtokens.study.models import ExaminedModel, censuses
from deadtokens.study.study import Study
from deadtokens.trajectory.populations import NEVER_SAMPLED, POPULATIONS

PLAIN = "norm"  # the indicator at which everybody looks first
STANDARD_ERRORS = 2  # beyond which a share is called more or fewer, a cosine not that of chance
MOST = 0.5  # of its dimensions a cloud that keeps the shape of a start has more than this share
AS_MANY = "as many"


def examined_models(facts: Facts, study: Study, results: Path) -> dict[str, Any]:
    """Return what is said of every matrix of the study's models, and the picture of their clouds.

    Parameters
    ----------
    facts : Facts
        To which what holds of all of them is added.
    study : Study
    results : Path
        Folder of the results.

    Returns
    -------
    dict
        ``matrices``, of which one that has no cloud has `None` as its ``cloud``; ``indicators``,
        and what they are; ``pictures``, at most one.
    """
    of_each = censuses(study)
    if not of_each:
        return {"matrices": [], "indicators": [], "pictures": []}
    facts.add(CONFIGURATION, matrices=counted(len(of_each), "matrix", "matrices"))
    facts.add("deadtokens.matrices.cloud", inside=percent(INSIDE))
    facts.add("deadtokens.statistics.roc", level=percent(LEVEL))
    matrices = [_matrix(path, model, read(results / path)) for path, model in of_each.items()]
    drawn = [CLOUDS] if any(one["cloud"] for one in matrices) else []
    found = (illustration(results, cloud_figure(study), figure, "models") for figure in drawn)
    return {
        "matrices": matrices,
        "indicators": [{"name": _words(key), "meaning": INDICATORS[key]} for key in INDICATORS],
        "pictures": [one for one in found if one],
    }


def _matrix(path: str, model: ExaminedModel, found: xr.Dataset) -> dict[str, Any]:
    about = found.attrs
    alike, unreachable = found["population"].values > 1, found["unreachable"].values
    return {
        "name": Path(path).parts[1],
        "source": path,
        "matrix": shown(about["matrix"]),
        "whose": _whose(model),
        "run": model.member.run if model.member else "",
        "format": shown(about["format"]),
        "rows": number(about["vocabulary_size"]),
        "components": number(about["width"]),
        "alike": number(int(alike.sum())),
        "cluster": _largest_cluster(found),
        "known": number(about["known_tokens"]),
        "norm": _area(found.sel(indicator=PLAIN)),
        "best": _best(found),
        "unreachable": _without_text(unreachable),
        "left_out": str(about.get("left_out", "")),
        "cloud": _cloud(found, bool(model.member or model.recording))
        if "cloud_radius" in found
        else None,
    }


def _whose(model: ExaminedModel) -> str:
    if model.member:
        return "run"
    return "recording" if model.recording else "others"


def _words(indicator: str) -> str:
    return indicator.replace("_", " ")


def _largest_cluster(found: xr.Dataset) -> str:
    """Return on how many vectors how many tokens of the largest cluster are."""
    if not found.sizes["hole"]:
        return UNDEFINED
    first = found.isel(hole=0)
    return f"{number(int(first['hole_tokens']))} on {number(int(first['hole_vectors']))}"


def _area(indicator: xr.Dataset) -> dict[str, str]:
    limits = interval(float(indicator["area_low"]), float(indicator["area_high"]))
    area = float(indicator["area"])
    name = "" if np.isnan(area) else _words(str(indicator["indicator"].values))
    return {"area": number(area), "interval": limits, "of": name}


def _best(found: xr.Dataset) -> dict[str, str]:
    """Return the largest area of an indicator that is not the plain norm."""
    others = found.sel(indicator=found["indicator"] != PLAIN)
    largest = int(np.nan_to_num(others["area"].values, nan=-1).argmax())
    return _area(others.isel(indicator=largest))


def _without_text(unreachable: np.ndarray) -> str:
    """Return how many tokens no text gives; nothing where no text was tried."""
    return number(int((unreachable == "yes").sum())) if _is_tried(unreachable).any() else UNDEFINED


def _is_tried(unreachable: np.ndarray) -> np.ndarray:
    return unreachable != "unknown"


def _cloud(found: xr.Dataset, recorded: bool) -> dict[str, Any]:
    """Return a cloud in written numbers, and which of the template's sentences are true of it."""
    of = {name: array.item() for name, array in found.items() if not array.dims}
    units = found["cloud_units"].values
    deviation = float(np.nanmedian(units)) if np.isfinite(units).any() else np.nan
    rows, width = int(of["cloud_tokens"]), int(found.attrs["width"])
    dimension, cosine = of["cloud_dimension"], of["cloud_cosine"]
    compared, side = compared_with_expected(of["shell_of_cloud"], rows), side_of(cosine, width)
    along = cosine * of["cloud_norm"] / np.linalg.norm(found["other_centroid"])
    return {
        "rows": number(rows),
        "kind": "known" if found["known"].values.any() else "alike",
        "radius": number(of["cloud_radius"]),
        "other_radius": number(of["other_radius"]),
        "cosine": number(cosine),
        "side": side,
        "along": number(along),
        "is_pushed": side == "same" and bool(along > 1),
        "dimension": number(dimension),
        "in_shell": percent(of["shell_of_cloud"]),
        "compared": compared,
        "keeps_shape": compared == AS_MANY and dimension > MOST * width,
        "units": number(deviation),
        "scale": scale_of(deviation),
        "others": number(of["shell_of_others"]),
        "other_rows": counted(of["shell_of_others"], "other row", "other rows"),
        "alone": not of["shell_of_others"],
        "unmet": _unmet(found, recorded),
    }


def side_of(cosine: float, width: int) -> str:
    """Return on which side a centroid lies of another one's: same, other, or neither.

    Neither, if the cosine could be that of two directions of chance, whose standard deviation is
    the inverse root of the number of components.
    """
    if not abs(cosine) > STANDARD_ERRORS / np.sqrt(width):
        return "neither"
    return "same" if cosine > 0 else "other"


def compared_with_expected(share: float, rows: int) -> str:
    """Return whether more or fewer rows are in the shell than of a Gaussian cloud, or as many."""
    error = np.sqrt(INSIDE * (1 - INSIDE) / rows)
    if abs(share - INSIDE) <= STANDARD_ERRORS * error:
        return AS_MANY
    return "more" if share > INSIDE else "fewer"


def scale_of(deviation: float) -> str:
    """Return whether a cloud's deviation is at least a unit of the format, or less."""
    if np.isnan(deviation):
        return "unknown"
    return "above" if deviation >= 1 else "below"


def _unmet(found: xr.Dataset, recorded: bool) -> dict[str, str | bool] | None:
    """Return of how many other tokens that training cannot have met how many the shell encloses.

    Of a record those that stood in no batch; else those that no text gives, `None` where no text
    was tried.
    """
    unreachable = found["unreachable"].values
    cloud = rows_of_cloud(found["known"].values, found["reference"].values)
    if not (recorded or _is_tried(unreachable[~cloud]).any()):
        return None
    unmet = found["kind"].values == POPULATIONS[NEVER_SAMPLED] if recorded else unreachable == "yes"
    given = ~cloud & unmet
    rows, within = int(given.sum()), int((given & others_within(found)).sum())
    return {
        "rows": number(rows),
        "none": not rows,
        "within": number(within),
        "why": "stood in no batch" if recorded else "no text gives",
    }
