"""Keras as this package needs it, independent of the user's Keras settings.

Every module takes ``keras``, ``layers`` and ``ops`` from here. These objects import Keras when an attribute is first used. Files
that only define a row of a registry are therefore cheap to import.
"""

import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from scn_tf.environment import quiet
from scn_tf.environment.keras_environment import BACKEND, EPSILON, keras_environment
from scn_tf.errors import ConfigError


class _OnFirstUse:
    """A module that is imported when one of its attributes is first used."""

    def __init__(self, find: Callable[[], ModuleType]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)


def _import_keras() -> ModuleType:
    """Import Keras once, in float32 with channels last.

    The backend is TensorFlow unless ``KERAS_BACKEND`` names another. Networks, heatmaps and losses work with any backend; commands
    refuse others (:func:`scn_tf.environment.keras_environment.check_backend`).

    Raises:
        ConfigError: the environment, or an earlier import of Keras, chose another backend.
    """
    global _keras
    if _keras is not None:
        return _keras
    chosen = os.environ.get("KERAS_BACKEND") or BACKEND
    if chosen == BACKEND:
        quiet.import_tensorflow()
    with keras_environment():
        import keras
    if keras.config.backend() != chosen:
        raise ConfigError(
            f"Keras was imported with the backend {keras.config.backend()}, scn_tf needs {chosen}: "
            f"set KERAS_BACKEND={chosen} before Keras is imported, or import scn_tf first."
        )
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(EPSILON)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)
    _keras = keras
    return keras


_keras: ModuleType | None = None

if TYPE_CHECKING:
    import keras
    from keras import layers, ops
else:
    keras = _OnFirstUse(_import_keras)
    layers = _OnFirstUse(lambda: _import_keras().layers)
    ops = _OnFirstUse(lambda: _import_keras().ops)

__all__ = ["keras", "layers", "ops"]
