"""Open a trained model in any form and find landmarks in images."""

import warnings
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from scn_tf import geometry
from scn_tf.data import arrays, images
from scn_tf.data.coverage import warn_of_untrained
from scn_tf.data.pipeline import fit_image
from scn_tf.data.preprocess import network_input
from scn_tf.environment import forks
from scn_tf.errors import CheckpointError, DataWarning
from scn_tf.export import choice, reading
from scn_tf.messages import short
from scn_tf.runs import folder, pretrained
from scn_tf.runs.info import ModelInfo
from scn_tf.systems import opening
from scn_tf.types import Array, Locate, PathName, Vector

FORKED = (
    "this process was forked from one that had used TensorFlow, which would wait forever here. "
    'Start processes with multiprocessing.get_context("spawn") and call scn_tf.load in each.'
)


class Prediction(NamedTuple):
    """Landmarks of one image.

    ``landmarks`` (N, d), (x, y[, z]): pixels of the file or array; mm (LPS) if ``coordinates`` is
    ``"physical"``. ``scores`` (N,): the heatmaps' maxima. ``names``: N landmark names.
    ``array_landmarks`` (N, d): the same points in pixels of ``image.array``.
    """

    landmarks: Array
    scores: Array
    names: tuple[str, ...]
    coordinates: str
    array_landmarks: Array
    image: images.Image

    def __repr__(self) -> str:
        scores = f"{min(self.scores):.3g} to {max(self.scores):.3g}"
        return f"Prediction({len(self.names)} landmarks, {self.coordinates} coordinates, scores {scores})"


class Predictor:
    """A model and the facts that it needs about images.

    Args:
        locate: function float32 (B, [D,] H, W, C) -> (landmarks (B, N, d), scores (B, N)), network pixels.
        info: facts of the model file.
    """

    def __init__(self, locate: Locate, info: ModelInfo) -> None:
        self.locate, self.info, self.names = locate, info, info.landmarks
        warn_of_untrained(info.name, info.untrained)

    def __repr__(self) -> str:
        return f"Predictor({len(self.names)} landmarks of {self.info.name}, {self.info.dims}D)"

    def __copy__(self) -> "Predictor":
        return self

    def __deepcopy__(self, _: dict) -> "Predictor":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Predictor cannot be sent to another process or stored; send its path and call scn_tf.load there.")

    def predict(
        self,
        image: PathName | ArrayLike,
        *,
        spacing: Vector | None = None,
        direction: ArrayLike | None = None,
        origin: Vector | None = None,
    ) -> Prediction:
        """Find the landmarks of one image. Several threads may call it at once.

        Args:
            image: path of an image file, or array ([D,] H, W[, C]) of any real numbers.
            spacing: (d,) mm per pixel (x, y[, z]) of an array. For a file it overrides the header's spacing. It is rejected if the
                model answers in mm of the header's frame.
            direction: (d * d,) or (d, d) direction cosines of an array in LPS, row by row, as SimpleITK's ``GetDirection()`` gives
                them. The columns are its axes x, y[, z]. They turn a volume to LPS, as a header turns a file. None: the volume is
                in LPS order (x to the left, y to the back, z to the head). A 2D image is never turned.
            origin: (d,) mm of the centre of an array's first pixel. It affects only ``Prediction.image.physical_from_array``.

        Returns:
            :class:`Prediction`. For a file, coordinates are those of the training data (pixels of the file or mm). For an array,
            they are its pixels as given, whatever its direction and origin.

        Raises:
            CheckpointError: the process was forked from one in which TensorFlow has computed.
            ImageError: the image is unreadable, has wrong dimensions, a wrong order of axes or non-finite values, or lacks a
                spacing or a frame for mm.
        """
        if forks.hangs():
            raise CheckpointError(f"predict: {FORKED}")
        dims, channels = self.info.dims, self.info.channels
        from_file = isinstance(image, str | Path)
        if isinstance(image, str | Path):
            name, loaded = images.shown(image), images.read_image(image, dims=dims, channels=channels)
            if direction is not None or origin is not None:
                raise images.ImageError(f"{name}: direction, origin: are for arrays; the header of a file states its own.")
        else:
            name = "array"
            loaded = images.from_array(image, dims=dims, channels=channels, spacing=spacing, direction=direction, origin=origin)
            try:
                arrays.check_sides(np.shape(image), dims)
            except ValueError as error:
                raise images.ImageError(f"array: {error}") from None
        if loaded.array.max() == loaded.array.min():
            warnings.warn(f"{name}: every pixel has the same value, nothing can be found.", DataWarning, stacklevel=2)
        physical = from_file and self.info.coordinates == "physical"
        if physical and (loaded.spacing is None or spacing is not None):
            raise images.ImageError(
                f"{name}: this model gives landmarks in mm of the frame in a file's header, "
                + ("and this file states none; pass an array for pixels." if loaded.spacing is None else "so spacing cannot be given.")
            )
        pixel = loaded.spacing
        if from_file and spacing is not None:
            pixel = loaded.along_array_axes(images.checked_spacing(spacing, dims, f"{name}: spacing"))
        elif spacing is None and self.info.spacing_mm:  # the data set's word against the header's, as in training
            pixel = loaded.along_array_axes(self.info.spacing_mm)
        if pixel is None and (why := self.info.why_spacing):
            raise images.ImageError(
                f"{name}: spacing: is missing. {why}, and {'this file states no pixel size' if from_file else 'an array has none'}: "
                f"pass spacing, {dims} numbers of mm per pixel, or a file whose header states them."
            )
        fit = fit_image(loaded, pixel, self.info.config.model, name=name)
        network_image = network_input(loaded.array, fit.scale, fit.translation, self.info.image_size)
        landmarks, scores = self.locate(network_image[tf.newaxis])
        array_landmarks = geometry.apply(np.linalg.inv(fit.input_from_array), landmarks[0])
        own_from_array = loaded.own_from_array("physical" if physical else "pixel")
        return Prediction(
            landmarks=geometry.apply(own_from_array, array_landmarks),
            scores=np.asarray(scores[0]),
            names=self.names,
            coordinates="physical" if physical else "pixel",
            array_landmarks=array_landmarks,
            image=loaded,
        )


def load(path: PathName) -> Predictor:
    """Open a trained model in any of its forms.

    Args:
        path: name in :mod:`scn_tf.runs.pretrained`, run folder, ``.keras`` or ``.npz`` file, or export in any form
            (:data:`scn_tf.export.forms.FORMS`). A SavedModel is named by its folder or a version in it.

    Returns:
        :class:`Predictor`.

    Raises:
        CheckpointError: the path holds no model for landmarks, or the process was forked from one in which TensorFlow has computed.
        ConversionError: scn_tf did not write the TFLite or ONNX file.
        MissingExtra: the library of its form is not installed.
    """
    if forks.hangs():
        raise CheckpointError(f"{path}: cannot be opened: {FORKED}")
    path = Path(path)
    try:
        path.stat()
    except FileNotFoundError:
        pass  # or the name of a bundled model
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise CheckpointError(f"{short(str(path))}: cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    form, endings = choice.form_at(path), [*opening.suffixes(), *choice.endings()]
    if path.suffix in endings and not path.is_file():
        raise CheckpointError(f"{path}: no such file.")
    if form is not None and form.suffix:
        return Predictor(*reading.localizer(path, form))
    found = opening.model_file(path)
    if found is not None and found.suffix in opening.suffixes():
        return Predictor(*opening.open_run(path))
    if form is not None:
        return Predictor(*reading.localizer(path, form))
    if images.is_image(path):
        raise CheckpointError(f"{path}: is an image, no model. Name the model first, then its images.")
    exported = choice.listed([f"an exported {title}" for title in choice.folder_titles()], "or")
    raise CheckpointError(
        f"{path}: no model there; expected a run folder (with {folder.MODEL}), a {choice.listed(endings, 'or')} file, {exported}, "
        f"or a bundled model: {', '.join(pretrained.names()) or 'none'}."
    )
