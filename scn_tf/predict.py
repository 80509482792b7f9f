"""Open a trained model in any of its forms and find landmarks in images."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from scn_tf import checkpoints, config, geometry
from scn_tf.checkpoints import METADATA, CheckpointError
from scn_tf.data import images
from scn_tf.data.pipeline import fit_image
from scn_tf.localization import localizer
from scn_tf.preprocess import network_input


class Prediction(NamedTuple):
    """Landmarks of one image.

    ``landmarks`` (N, d), (x, y[, z]): pixels of the file or array; mm (LPS) if ``coordinates`` is
    ``"physical"``. ``scores`` (N,): the heatmaps' maxima. ``names``: N landmark names.
    ``array_landmarks`` (N, d): the same points in pixels of ``image.array``.
    """

    landmarks: np.ndarray
    scores: np.ndarray
    names: tuple
    coordinates: str
    array_landmarks: np.ndarray
    image: images.Image


class Predictor:
    """A model with what it needs to know about images.

    Args:
        locate: function float32 (B, [D,] H, W, C) -> (landmarks (B, N, d), scores (B, N)), network pixels.
        metadata: of the model file.
    """

    def __init__(self, locate, metadata):
        self.locate, self.metadata = locate, metadata
        self.names = tuple(metadata["landmarks"])
        self._model = config.from_dict(metadata["config"], source="model").model

    def predict(self, image, *, spacing=None):
        """Find the landmarks of one image.

        Args:
            image: path of an image file, or array ([D,] H, W[, C]) of any numeric dtype.
            spacing: (d,) mm per pixel (x, y[, z]) of an array; a file's header says its own.

        Returns:
            :class:`Prediction`; for a file in the coordinates that the model was trained on
            (pixels of the file or mm), for an array in its pixels.

        Raises:
            ImageError: unreadable, wrong dimension, not finite, no spacing where one is needed.
        """
        dims, channels = self.metadata["dims"], self.metadata["channels"]
        from_file = isinstance(image, str | Path)
        if from_file:
            name, loaded = str(image), images.read_image(image, dims=dims, channels=channels)
        else:
            name, loaded = "array", images.from_array(image, dims=dims, channels=channels, spacing=spacing)
        pixel = self.metadata["spacing_mm"] or loaded.spacing
        fit = fit_image(loaded, np.ones(dims) if pixel is None else np.asarray(pixel, float), self._model, name=name)
        network_image = network_input(loaded.array, fit.scale, fit.translation, self._model.image_size)
        landmarks, scores = self.locate(network_image[tf.newaxis])
        array_landmarks = geometry.apply(np.linalg.inv(fit.input_from_array), landmarks[0])
        physical = from_file and self.metadata["coordinates"] == "physical"
        own_from_array = loaded.physical_from_array if physical else loaded.file_from_array
        return Prediction(
            landmarks=geometry.apply(own_from_array, array_landmarks),
            scores=np.asarray(scores[0]),
            names=self.names,
            coordinates="physical" if physical else "pixel",
            array_landmarks=array_landmarks,
            image=loaded,
        )


def load(path):
    """Open a run folder, a ``.keras`` file or an exported SavedModel (its folder or a version in it).

    Returns:
        :class:`Predictor`.

    Raises:
        CheckpointError: nothing that can be opened is there.
    """
    path = Path(path)
    if path.suffix == ".tflite":
        raise CheckpointError(f"{path}: TFLite models cannot be opened yet; use the run folder or a SavedModel.")
    if path.is_dir() and (path / "model.keras").exists():
        path = path / "model.keras"
    if path.suffix == ".keras":
        network, metadata = checkpoints.load_model(path)
        return Predictor(localizer(network, metadata["config"]["heatmap"]["decoder"]), metadata)
    versions = [p for p in path.glob("[0-9]*") if p.name.isdigit()] if path.is_dir() else []
    folder = max(versions, key=lambda p: int(p.name)) if versions else path
    if not (folder / "saved_model.pb").exists():
        raise CheckpointError(f"{path}: neither a run folder (model.keras), a .keras file nor an exported SavedModel.")
    try:
        metadata = json.loads((folder / "assets" / METADATA).read_text())
        module = tf.saved_model.load(str(folder))
        function = module.signatures["serve_input"]
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: was not written by scn_tf's export ({error}).") from None

    def locate(network_images):
        result = function(image=network_images)
        return result["landmarks"], result["scores"]

    # The functions of a SavedModel do not keep its variables alive.
    locate.module = module
    return Predictor(locate, metadata)


def find_images(paths):
    """Image files of a list of files and folders, in order.

    Raises:
        ImageError: a path that does not exist, or nothing found.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if images.is_image(p))
        elif path.exists():
            found.append(path)
        else:
            raise images.ImageError(f"{path}: no such file or folder.")
    if not found:
        raise images.ImageError(f"{', '.join(map(str, paths))}: no images there.")
    return found
