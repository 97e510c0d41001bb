"""The last recorded matrix of a training, and what its record says of its tokens.

The record is that of a run of a study, or what a Recorder wrote. It says which tokens are dead, so
that the truth about this matrix is known.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from deadtokens.errors import NotInRecord
from deadtokens.identity import segment_number
from deadtokens.matrices.matrix import Array, Matrix
from deadtokens.matrices.reach import UNKNOWN
from deadtokens.matrices.tokenizer import ORDINARY
from deadtokens.matrices.tokens import DEAD, NEVER_SAMPLED, Tokens
from deadtokens.text.scripts import NO_SCRIPT
from deadtokens.trajectory.optional import check_all_rows
from deadtokens.trajectory.populations import members_of
from deadtokens.trajectory.reader import open_run

W = "W"


def is_record(paths: Sequence[Path]) -> bool:
    """Return whether paths are segments of a record, or the one folder that has some."""
    within = [*paths[0].iterdir()] if len(paths) == 1 and paths[0].is_dir() else paths
    return any(segment_number(path) is not None for path in within)


def read_record(segments: Sequence[Path]) -> tuple[Matrix, Tokens]:
    """Return the last state of W, and what the record says of its tokens.

    Parameters
    ----------
    segments : sequence of Path
        All of them in order, or the one folder that has them.

    Raises
    ------
    UserError
        If the segments cannot be read, or do not have every row of W at some state.
    """
    run = open_run(segments)
    check_all_rows(run, "the matrix examined")
    if W not in run or not run.sizes["state"]:
        raise NotInRecord(f"run {run.attrs['run']}: its record has no state of W")
    last = run[W].isel(state=-1)
    values = np.ascontiguousarray(last.transpose("token", "component").values, np.float32)
    name = f"W after update {int(last['state']):,}"
    return Array(name, *values.shape, last.attrs["recorded_dtype"], values), _tokens(run)


def _tokens(run: xr.Dataset) -> Tokens:
    rows = run.sizes["token"]
    dead, _, never_sampled = members_of(run)
    return Tokens(
        bytes=[bytes.fromhex(text) for text in _column(run, "token_bytes", [""] * rows)],
        readable=_column(run, "token_string", [f"token {row}" for row in range(rows)]),
        script=_column(run, "script", [NO_SCRIPT] * rows),
        kind=np.select([dead, never_sampled], [DEAD, NEVER_SAMPLED], ORDINARY).tolist(),
        unreachable=[UNKNOWN] * rows,
    )


def _column(run: xr.Dataset, name: str, otherwise: list[str]) -> list[str]:
    return [str(text) for text in run[name].values] if name in run else otherwise
