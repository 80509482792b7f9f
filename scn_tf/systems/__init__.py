"""The kinds of system: network, forest, label map. Each has one package or file, and one row.

``opening`` finds and opens model files of all systems.
"""

from scn_tf.config import Config
from scn_tf.models import MODELS
from scn_tf.registry import Registry
from scn_tf.systems.system import System

SYSTEMS: Registry[System] = Registry("system", System, home="scn_tf.systems", group="scn_tf.systems")


def of(config: Config) -> System:
    """System of a run, from its settings."""
    return SYSTEMS[MODELS[config.model.name].system]
