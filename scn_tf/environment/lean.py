"""Import of TensorFlow for a program that is ours alone, without libraries that it never needs.

TensorFlow imports Keras. Where they are installed, both import libraries for functions that no command calls: conversion from JAX,
galleries of pictures, scikit-learn estimators. That takes two fifths of the time. Programs that import ``scn_tf`` have them as always.
"""

import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

from scn_tf.environment import quiet

UNUSED = ("jax", "matplotlib", "sklearn")


class _Hidden:
    """Finder that finds no unused library, as where it is not installed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name in UNUSED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def import_tensorflow() -> None:
    """Import TensorFlow as :func:`scn_tf.environment.quiet.import_tensorflow` does. Later imports find all libraries.

    Raises:
        ConfigError: another backend was chosen for Keras.
    """
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        quiet.import_tensorflow()
    finally:
        sys.meta_path.remove(hidden)
