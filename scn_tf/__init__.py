"""scn_tf: anatomical landmark localization with SpatialConfiguration-Net.

This module offers what most programs need. Each object is imported on first use, so ``import scn_tf`` is fast.
``docs/architecture.md`` lists all other modules.

* :func:`train`, :func:`evaluate`: do what ``scn-tf train`` and ``scn-tf evaluate`` do, from a :class:`Config`.
* :func:`load`: opens a run folder, ``.keras`` file or export as a :class:`Predictor`, which gives :class:`Prediction` objects.
* :func:`build_network`: a functional ``keras.Model`` from images to heatmaps.
* :func:`open_dataset`: opens a data folder as a :class:`Dataset`.
* :class:`AnnotationFormat`, :func:`register_annotation_format`, :class:`ImageFormat`, :func:`register_image_format`: files of other
  programs (docs/data.md).
* :class:`Check`, :func:`register_check`: another mistake that ``scn-tf check`` looks for.
* :func:`register_command`: adds a :class:`Command` to ``scn-tf``.
* Errors about your files and settings, all derived from :class:`Error`: :class:`ConfigError`, :class:`DatasetError`,
  :class:`ImageError`, :class:`CheckpointError`, :class:`ConversionError`, :class:`WriteError`, :class:`TrainingDiverged`,
  :class:`MissingExtra`.
"""

import importlib
import os
from typing import TYPE_CHECKING

# TensorFlow reads these when it is first imported; they must be set before that, and only
# here. Set TF_CPP_MIN_LOG_LEVEL=0 yourself to see TensorFlow's own messages.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On x86 processors without AVX-512 TensorFlow leaves its oneDNN kernels off; without them a
# training step takes twice as long in 2D and three times in 3D (benchmarks/onednn.py).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from scn_tf.environment import quiet

quiet.silence_tensorflow()

__version__ = "0.4.0"

# Public name -> module that has it. No module of scn_tf may have one of these names: importing it would hide the object.
_HOMES = {
    "AnnotationFormat": "data.annotations",
    "Check": "doctor",
    "CheckpointError": "errors",
    "Command": "cli.command",
    "Config": "config",
    "ConfigError": "errors",
    "ConversionError": "errors",
    "Dataset": "data.dataset",
    "DatasetError": "errors",
    "Error": "errors",
    "ExportForm": "export.forms",
    "ImageError": "errors",
    "ImageFormat": "data.images",
    "MissingExtra": "errors",
    "Prediction": "predict",
    "Predictor": "predict",
    "TrainingDiverged": "errors",
    "WriteError": "errors",
    "Decoder": "heatmaps.decoders",
    "Loss": "heatmaps.losses",
    "Model": "models",
    "build_network": "build",
    "evaluate": "evaluate_run",
    "load": "predict",
    "open_dataset": "data.dataset",
    "register_annotation_format": "data.annotations",
    "register_check": "doctor",
    "register_decoder": "heatmaps.decoders",
    "register_image_format": "data.images",
    "register_loss": "heatmaps.losses",
    "register_model": "models",
    "register_command": "cli.command",
    "register_export_form": "export.forms",
    "train": "train_run",
}
_WITHOUT_TENSORFLOW = (
    *("build", "cli.command", "config", "data.annotations", "data.images", "doctor", "errors", "export.forms"),
    *("heatmaps.decoders", "heatmaps.losses", "models"),
)
# Written out, for type checkers and editors read it without running it.
__all__ = [
    "AnnotationFormat",
    "Check",
    "CheckpointError",
    "Command",
    "Config",
    "ConfigError",
    "ConversionError",
    "Dataset",
    "DatasetError",
    "Decoder",
    "Error",
    "ExportForm",
    "ImageError",
    "ImageFormat",
    "Loss",
    "MissingExtra",
    "Model",
    "Prediction",
    "Predictor",
    "TrainingDiverged",
    "WriteError",
    "__version__",
    "build_network",
    "evaluate",
    "load",
    "open_dataset",
    "register_annotation_format",
    "register_check",
    "register_command",
    "register_decoder",
    "register_export_form",
    "register_image_format",
    "register_loss",
    "register_model",
    "train",
]

if TYPE_CHECKING:
    from scn_tf.build import build_network
    from scn_tf.cli.command import Command, register_command
    from scn_tf.config import Config
    from scn_tf.data.annotations import AnnotationFormat, register_annotation_format
    from scn_tf.data.dataset import Dataset, open_dataset
    from scn_tf.data.images import ImageFormat, register_image_format
    from scn_tf.doctor import Check, register_check
    from scn_tf.errors import (
        CheckpointError,
        ConfigError,
        ConversionError,
        DatasetError,
        Error,
        ImageError,
        MissingExtra,
        TrainingDiverged,
        WriteError,
    )
    from scn_tf.evaluate_run import evaluate
    from scn_tf.export.forms import ExportForm, register_export_form
    from scn_tf.heatmaps.decoders import Decoder, register_decoder
    from scn_tf.heatmaps.losses import Loss, register_loss
    from scn_tf.models import Model, register_model
    from scn_tf.predict import Prediction, Predictor, load
    from scn_tf.train_run import train
else:

    def __getattr__(name: str) -> object:
        """Import a public object on first use, so that ``import scn_tf`` and ``scn-tf --help`` do not wait for TensorFlow.

        Raises:
            AttributeError: the module has no attribute of that name.
            ConfigError: the object needs TensorFlow, and ``KERAS_BACKEND`` names another backend.
        """
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if _HOMES[name] not in _WITHOUT_TENSORFLOW:
            quiet.import_tensorflow()  # or a ConfigError about another backend of Keras
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
