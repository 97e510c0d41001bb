"""The segments of a run as files: which there are, in which order."""

from collections.abc import Sequence
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.seal import check_seal

Segments = Path | str | Sequence[Path | str]


def list_segments(segments: Segments, check: bool = True) -> list[Path]:
    """Return the paths of the segments in a folder, or those given, in order.

    Parameters
    ----------
    segments : path or sequence of paths
    check : bool
        Read each through and compare it with its seal.

    Raises
    ------
    UserError
        If there is none, or one is missing, truncated, damaged or not sealed.
    """
    if isinstance(segments, Path | str):
        paths = sorted(Path(segments).glob("segment-*.nc"))
    else:
        paths = [Path(path) for path in segments]
    if not paths:
        raise UserError(f"{segments}: no segment of a trajectory (segment-000.nc, ...) is there")
    if check:
        for path in paths:
            check_seal(path)
    return paths
