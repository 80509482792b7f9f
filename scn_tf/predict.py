"""Open a trained model in any form and find landmarks in images."""

from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from scn_tf.data import images
from scn_tf.data.coverage import warn_of_untrained
from scn_tf.environment import forks
from scn_tf.errors import CheckpointError
from scn_tf.export import choice, reading
from scn_tf.export.forms import ExportForm
from scn_tf.messages import short
from scn_tf.prediction import steps
from scn_tf.prediction.steps import Prediction as Prediction
from scn_tf.runs import folder, pretrained
from scn_tf.runs.info import ModelInfo
from scn_tf.storage import checksums
from scn_tf.systems import opening
from scn_tf.types import Locate, PathName, Vector

FORKED = (
    "this process was forked from one that had used TensorFlow, which would wait forever here. "
    'Start processes with multiprocessing.get_context("spawn") and call scn_tf.load in each.'
)


class Predictor:
    """A model and the facts that it needs about images.

    Args:
        locate: function float32 (B, [D,] H, W, C) -> :class:`scn_tf.types.Located`.
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
        prepared = steps.prepare(image, self.info, spacing=spacing, direction=direction, origin=origin)
        return steps.answer(prepared, steps.of_image(self.locate(prepared.network_image[np.newaxis]), 0), self.info)


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
    found, form = _found(Path(path))
    return Predictor(*(opening.open_run(found) if form is None else reading.localizer(found, form)))


def read_info(path: PathName) -> ModelInfo:
    """Facts of the model that :func:`load` opens for a path.

    Raises:
        CheckpointError, ConversionError, MissingExtra: see :func:`load`.
    """
    found, form = _found(Path(path))
    return opening.read_info(found) if form is None else reading.localizer(found, form)[1]


def identity(path: PathName) -> str:
    """SHA-256 of the model that :func:`load` opens for a path, hexadecimal: of its file, or of all files of its folder.

    Raises:
        CheckpointError: see :func:`load`; or a file cannot be read.
    """
    found, form = _found(Path(path))
    try:
        return checksums.of_path(opening.existing_file(found) if form is None else found)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from None


def _found(path: Path) -> tuple[Path, ExportForm | None]:
    """(path of a run or bundled model, None), or (path of an export, its form)."""
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
        return path, form
    found = opening.model_file(path)
    if found is not None and found.suffix in opening.suffixes():
        return path, None
    if form is not None:
        return path, form
    if images.is_image(path):
        raise CheckpointError(f"{path}: is an image, no model. Name the model first, then its images.")
    exported = choice.listed([f"an exported {title}" for title in choice.folder_titles()], "or")
    raise CheckpointError(
        f"{path}: no model there; expected a run folder (with {folder.MODEL}), a {choice.listed(endings, 'or')} file, {exported}, "
        f"or a bundled model: {', '.join(pretrained.names()) or 'none'}."
    )
