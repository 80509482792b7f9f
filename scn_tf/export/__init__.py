"""Trained networks in the forms that other programs call: SavedModel, TFLite, ONNX."""

import importlib
from typing import TYPE_CHECKING

_HOMES = {"export_onnx": "onnx", "export_saved_model": "saved_model", "export_tflite": "tflite"}
__all__ = ["export_onnx", "export_saved_model", "export_tflite"]


if TYPE_CHECKING:
    from scn_tf.export.onnx import export_onnx
    from scn_tf.export.saved_model import export_saved_model
    from scn_tf.export.tflite import export_tflite
else:

    def __getattr__(name: str) -> object:
        """Import on first use: a client needs no TensorFlow."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
