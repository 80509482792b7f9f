"""Keras as this package needs it, whatever the user's own settings of it say.

Every module takes ``keras``, ``layers`` and ``ops`` from here. They stand for the modules of these names and import Keras when they
are first asked for something: a file that only says what it offers, such as a row of a registry, costs nothing to import.
"""

import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from scn_tf.environment import quiet
from scn_tf.environment.keras_environment import BACKEND, EPSILON, keras_environment
from scn_tf.errors import ConfigError


class _OnFirstUse:
    """A module that is imported when an attribute of it is first asked for."""

    def __init__(self, find: Callable[[], ModuleType]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)


def _import_keras() -> ModuleType:
    """Keras in float32 with channels last; once.

    Its backend is TensorFlow unless ``KERAS_BACKEND`` names another, which networks, heatmaps and losses can have. Commands refuse
    it (:func:`scn_tf.environment.keras_environment.check_backend`).

    Raises:
        ConfigError: another backend was chosen in the environment, or by who imported Keras before.
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
