"""How small NetCDF files are written: complete or not at all, with a seal."""

from pathlib import Path

import xarray as xr

from deadtokens.hdf5 import steady_file
from deadtokens.seal import complete_and_sealed

_COMPRESSION = {"zlib": True, "complevel": 4, "shuffle": True}


def write(dataset: xr.Dataset, path: str | Path) -> None:
    """Write the dataset as NetCDF-4, numbers compressed by deflate with shuffle, and seal it.

    Strings of variable length are left out: HDF5 would compress only the references to them.
    """
    numeric = (name for name, array in dataset.variables.items() if array.dtype.kind in "biuf")
    encoding = dict.fromkeys(numeric, _COMPRESSION)
    with complete_and_sealed(path) as temporary, steady_file(temporary) as disk:
        dataset.to_netcdf(disk, engine="h5netcdf", encoding=encoding)
