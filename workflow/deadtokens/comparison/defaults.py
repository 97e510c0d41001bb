"""The settings of a run whose spec does not say otherwise."""

from deadtokens.comparison.settings import flat
from deadtokens.run.spec import DEFAULTS

DEFAULT_SETTINGS = flat(DEFAULTS.model_dump())
