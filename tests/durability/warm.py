"""Imported by the children's server: train a little, and with it all that is imported late."""

import io

import children  # noqa: F401
import writers  # noqa: F401
import xarray as xr
from tiny import tiny_census, tiny_trainer

from deadtokens.figures.style import look
from deadtokens.run.device import make_deterministic

make_deterministic(threads=1)
tiny_trainer().advance()
xr.load_dataset(io.BytesIO(tiny_census().to_netcdf(engine="h5netcdf")), engine="h5netcdf")
with look():  # matplotlib reads the user's styles then, which nobody may
    pass
