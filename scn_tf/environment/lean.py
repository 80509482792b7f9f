"""Import of TensorFlow for a program that is ours alone, without what it never needs.

TensorFlow imports Keras. Where they are installed, both import libraries for functions that no command calls: conversion from JAX,
galleries of pictures, scikit-learn estimators, sparse matrices. That takes two fifths of the time. Of the rest, Python's garbage
collector takes a third: it looks through all new objects again and again, and nearly all of them stay. Programs that import
``scn_tf`` have all libraries and collections as always.
"""

import gc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

from scn_tf.environment import quiet

UNUSED = ("jax", "matplotlib", "scipy", "sklearn")


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

    What is in memory afterwards is exempt from garbage collections. If TensorFlow was imported before, nothing happens.

    Raises:
        ConfigError: another backend was chosen for Keras.
    """
    if "tensorflow" in sys.modules:
        return quiet.import_tensorflow()
    hidden, collecting = _Hidden(), gc.isenabled()
    sys.meta_path.insert(0, hidden)
    gc.disable()
    try:
        quiet.import_tensorflow()
        gc.freeze()
    finally:
        sys.meta_path.remove(hidden)
        if collecting:
            gc.enable()
