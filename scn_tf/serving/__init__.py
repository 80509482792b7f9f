"""Trained networks in the forms that other programs call: SavedModel, TFLite, ONNX; a local server, clients, a browser page."""

import importlib
from typing import TYPE_CHECKING

_HOMES = {"ConversionError": "errors", "export_onnx": "onnx", "export_saved_model": "saved_model", "export_tflite": "tflite"}
__all__ = ["ConversionError", "export_onnx", "export_saved_model", "export_tflite"]


if TYPE_CHECKING:
    from scn_tf.serving.errors import ConversionError
    from scn_tf.serving.onnx import export_onnx
    from scn_tf.serving.saved_model import export_saved_model
    from scn_tf.serving.tflite import export_tflite
else:

    def __getattr__(name: str) -> object:
        """Import on first use: a client needs no TensorFlow."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
