"""Settings: one model from which flags, environment variables, `.env` and the page's form derive."""

from speculatoviz.config.load import load_settings
from speculatoviz.config.ranges import RANGES, Range
from speculatoviz.config.settings import (
    ENV_FILE,
    PROFILES,
    REMOTE_SCHEMES,
    SELF_BY_DEFAULT,
    PolicyName,
    Profile,
    RuntimeSetting,
    Settings,
    keys_place,
    store_place,
    variables,
)
from speculatoviz.config.words import in_words, mistake_in_words, reason_in_words

__all__ = [
    "ENV_FILE",
    "PROFILES",
    "RANGES",
    "REMOTE_SCHEMES",
    "SELF_BY_DEFAULT",
    "PolicyName",
    "Profile",
    "Range",
    "RuntimeSetting",
    "Settings",
    "in_words",
    "keys_place",
    "load_settings",
    "mistake_in_words",
    "reason_in_words",
    "store_place",
    "variables",
]
