"""The kinds of system that find something in images: network, forest, label map. One package or file and one row each.

``opening`` finds model files and opens them, whatever system wrote them.
"""

from scn_tf.config import Config
from scn_tf.models import MODELS
from scn_tf.registry import Registry
from scn_tf.systems.system import System

SYSTEMS: Registry[System] = Registry("system", System, home="scn_tf.systems", group="scn_tf.systems")


def of(config: Config) -> System:
    """The system of a run's settings."""
    return SYSTEMS[MODELS[config.model.name].system]
