"""Settings that Keras reads at its import, as this package needs them: backend, settings file, limits.

TensorFlow also imports Keras, and its older copy reads the same file again.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

BACKEND = "tensorflow"
EPSILON = 1e-7
LIMITS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")  # they would end a training early, without a word


@contextlib.contextmanager
def keras_environment() -> Iterator[None]:
    """In the block, Keras can be imported whatever its settings file contains. The backend is ours unless the environment names one."""
    import tempfile  # takes longer than all else that importing scn_tf reads

    kept = {name: os.environ.get(name) for name in ("KERAS_HOME", *LIMITS)}
    if not os.environ.get("KERAS_BACKEND"):  # Keras takes an empty one for none, and then asks its file
        os.environ["KERAS_BACKEND"] = BACKEND
    try:
        for name in LIMITS:
            os.environ.pop(name, None)
        with contextlib.ExitStack() as stack:
            if not _readable(_settings_file()):
                os.environ["KERAS_HOME"] = stack.enter_context(tempfile.TemporaryDirectory())
            yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def check_backend() -> None:
    """Refuse another backend before any slow import.

    Raises:
        ConfigError: the environment names another backend.
    """
    from scn_tf.errors import ConfigError

    chosen = os.environ.get("KERAS_BACKEND") or BACKEND
    if chosen != BACKEND:
        raise ConfigError(f"KERAS_BACKEND: scn_tf needs {BACKEND}, received {chosen}; unset it or set it to {BACKEND}.")


def _settings_file() -> Path:
    """Path of Keras' settings file."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.path.join(home, "keras.json")))


def _readable(path: Path) -> bool:
    """Whether Keras can be imported with this settings file. It can if there is none."""
    if not os.path.exists(path):
        return True
    try:
        values = json.loads(path.read_text())
        return (
            values.get("floatx", "float32") in ("float16", "float32", "float64")
            and isinstance(values.get("epsilon", EPSILON), float)
            and values.get("image_data_format", "channels_last") in ("channels_last", "channels_first")
            and isinstance(values.get("backend", BACKEND), str)
        )
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return False
