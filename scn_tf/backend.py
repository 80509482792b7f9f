"""Keras as this package needs it, whatever the user's own settings of it say.

Every module takes ``keras``, ``layers`` and ``ops`` from here, so that no other place imports it first.
"""

from types import ModuleType
from typing import TYPE_CHECKING

from scn_tf import quiet
from scn_tf.config import ConfigError
from scn_tf.keras_environment import BACKEND, EPSILON, keras_environment


def _import_keras() -> ModuleType:
    """Keras with the TensorFlow backend, float32 and channels last.

    Raises:
        ConfigError: another backend was chosen in the environment, or by who imported Keras before.
    """
    quiet.import_tensorflow()
    with keras_environment():
        import keras
    if keras.config.backend() != BACKEND:
        raise ConfigError(
            f"Keras was imported with the backend {keras.config.backend()}, scn_tf needs {BACKEND}: "
            f"set KERAS_BACKEND={BACKEND} before Keras is imported, or import scn_tf first."
        )
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(EPSILON)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)
    return keras


if TYPE_CHECKING:
    import keras
else:
    keras = _import_keras()

from keras import layers, ops  # noqa: E402

__all__ = ["keras", "layers", "ops"]
