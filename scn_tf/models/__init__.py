"""Values of ``model.name``, with one file and one row each. Shared parts are in ``parts``.

Help texts import these files, so they must not import Keras or NumPy directly (``environment.backend`` does so on first use).
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scn_tf.environment.backend import keras
from scn_tf.models.model import Model
from scn_tf.registry import Registry

if TYPE_CHECKING:
    from scn_tf.types import Sizes

MODELS: Registry[Model] = Registry("model", Model, home="scn_tf.models", group="scn_tf.models")


def register_model(model: Model) -> None:
    """Add a value of ``model.name``. Installed packages declare an entry point instead (docs/extending.md).

    Raises:
        ConfigError: the row is not a :class:`Model`, or its name is taken.
    """
    MODELS.register(model)


def build(name: str, image_shape: Sizes, num_maps: int, settings: dict[str, Any]) -> keras.Model:
    """Build a network.

    Args:
        name: value of ``model.name`` that is a network.
        image_shape: ([D,] H, W, C).
        num_maps: number of landmarks, or labels.
        settings: values of the section ``model``; the network ignores those that it does not use.

    Returns:
        Functional ``keras.Model`` from image (B, [D,] H, W, C) to maps (B, [D,] H, W, N).

    Raises:
        ConfigError: the name is unknown.
        ValueError: the name does not belong to a network.
    """
    function = MODELS[name].build
    if function is None:
        raise ValueError(f"{name}: is no network.")
    return function(image_shape, num_maps, **{key: value for key, value in settings.items() if key in options(name)})


def options(name: str) -> set[str]:
    """The fields of the section ``model`` that a model uses."""
    function = MODELS[name].build
    return set() if function is None else set(inspect.signature(function).parameters)


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Build layers under a Keras dtype policy, then restore the previous one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
