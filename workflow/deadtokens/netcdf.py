"""Small NetCDF files: written complete or not at all, read as they were written or not at all."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from deadtokens.errors import UserError
from deadtokens.hdf5 import steady_file
from deadtokens.identity import check_derived
from deadtokens.seal import check_seal, complete_and_sealed

_COMPRESSION = {"zlib": True, "complevel": 4, "shuffle": True}


def write(dataset: xr.Dataset, path: str | Path) -> None:
    """Write the dataset as NetCDF-4, numbers compressed by deflate with shuffle, and seal it.

    Strings of variable length are left out: HDF5 would compress only the references to them.
    """
    numeric = (name for name, array in dataset.variables.items() if array.dtype.kind in "biuf")
    encoding = dict.fromkeys(numeric, _COMPRESSION)
    with complete_and_sealed(path) as temporary, steady_file(temporary) as disk:
        # No axis grows: what a dataset was opened from may have had some that did.
        dataset.to_netcdf(disk, engine="h5netcdf", encoding=encoding, unlimited_dims=[])


def read(path: str | Path, make: str = "make it again") -> xr.Dataset:
    """Read a whole NetCDF file into memory.

    Where its seal stands beside it, it must be what was sealed; a copy without a seal is read too.

    Parameters
    ----------
    path : str or Path
    make : str
        What to do about a file that is missing or no NetCDF file, for the error.

    Raises
    ------
    UserError
        If the file is missing, damaged, or no NetCDF file.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; {make}")
    check_seal(path, required=False)
    with _ends_quietly():
        try:
            return xr.load_dataset(path, engine="h5netcdf")
        except Exception as error:  # a flipped bit makes the libraries raise anything
            problem = str(error)
        gc.collect()
    raise UserError(f"{path} cannot be read as NetCDF ({problem}); {make}")


@contextmanager
def _ends_quietly() -> Iterator[None]:
    """Let go, without a word, of what is left of a file that could not be opened.

    h5netcdf closes it when it is forgotten, fails at that, and Python would print how.
    """
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


def read_derived(path: str | Path, make: str = "make it again") -> xr.Dataset:
    """Read, as `read` does, a file that was derived from a run: from that of its folder.

    Raises
    ------
    UserError
        Besides: if it is of another run, or of another number of updates.
    """
    dataset = read(path, make)
    check_derived(Path(path), dataset.attrs)
    return dataset
