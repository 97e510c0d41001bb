"""The segments of a run as files: which there are, in which order."""

from collections.abc import Sequence
from pathlib import Path

from deadtokens.errors import UserError

Segments = Path | str | Sequence[Path | str]


def list_segments(segments: Segments) -> list[Path]:
    """Return the paths of the segments in a folder, or those given, in order.

    Raises
    ------
    UserError
        If there is none.
    """
    if isinstance(segments, Path | str):
        paths = sorted(Path(segments).glob("segment-*.nc"))
    else:
        paths = [Path(path) for path in segments]
    if not paths:
        raise UserError(f"{segments}: no segment of a trajectory (segment-000.nc, ...) is there")
    return paths
