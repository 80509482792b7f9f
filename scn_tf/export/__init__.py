"""Export of trained networks to forms for other programs, with one row per form in ``forms``."""

import importlib
from typing import TYPE_CHECKING

_HOMES = {
    "export_onnx": "forms.onnx.writing",
    "export_saved_model": "forms.saved_model.writing",
    "export_tflite": "forms.tflite.writing",
    "write": "writing",
}
__all__ = ["export_onnx", "export_saved_model", "export_tflite", "write"]


if TYPE_CHECKING:
    from scn_tf.export.forms.onnx.writing import export_onnx
    from scn_tf.export.forms.saved_model.writing import export_saved_model
    from scn_tf.export.forms.tflite.writing import export_tflite
    from scn_tf.export.writing import write
else:

    def __getattr__(name: str) -> object:
        """Import on first use, so that a client does not import TensorFlow."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
