"""Settings of a run: their definition (``settings``), reading (``reading``) and comparison (``comparison``).

``bundled`` holds the configurations and studies of the package.
"""

from scn_tf.config.comparison import differences
from scn_tf.config.reading import about, allowed_values, describe, field_names, from_dict, load, locate, nearest, override, read_yaml
from scn_tf.config.settings import (
    MEAN,
    RANDOM,
    AugmentConfig,
    Config,
    ForestConfig,
    HeatmapConfig,
    ModelConfig,
    TrainConfig,
    refuse_booleans,
    warn_if_too_large,
    warn_if_too_narrow,
)
from scn_tf.errors import ConfigError, ConfigWarning

__all__ = [
    "MEAN",
    "RANDOM",
    "AugmentConfig",
    "Config",
    "ConfigError",
    "ConfigWarning",
    "ForestConfig",
    "HeatmapConfig",
    "ModelConfig",
    "TrainConfig",
    "about",
    "allowed_values",
    "describe",
    "differences",
    "field_names",
    "from_dict",
    "load",
    "locate",
    "nearest",
    "override",
    "read_yaml",
    "refuse_booleans",
    "warn_if_too_large",
    "warn_if_too_narrow",
]
