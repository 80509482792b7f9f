"""What a model file stores so that its answers carry an error: facts that were measured on annotated images."""

from typing import Annotated

import numpy as np
import pydantic

from scn_tf.types import Array, known
from scn_tf.uncertainty.error_model import ErrorModel
from scn_tf.uncertainty.ordinary import Ordinary
from scn_tf.uncertainty.places import Places

Numbers = tuple[float, ...]
Positive = Annotated[float, pydantic.Field(gt=0)]


class Calibration(pydantic.BaseModel):
    """Measured facts of one model with one decoder. They hold for no other.

    Fields:

    * ``split``: name of the split whose images it was measured on. ``images``, ``points``: how many there were.
    * ``folds``: number of networks that were measured in place of the model, each on training images that it was not trained on.
      None: the model itself was measured.
    * ``decoder``: value of ``heatmap.decoder`` at that time.
    * ``mean``, ``deviation``, ``weights`` (K,) and ``offsets`` (N,) of :class:`scn_tf.uncertainty.error_model.ErrorModel`.
    * ``factor``, ``power``: radius = factor * expected_error ** power, network pixels.
    * ``ellipses``: (N, d * d), of each landmark a matrix A. With ``r @ inv(A) @ r <= radius ** 2`` an ellipse contains the truth as
      often as the circle does. Empty: ellipses were not fitted, or are not smaller.
    * ``median``, ``usual``: (N, K) of :class:`scn_tf.uncertainty.ordinary.Ordinary`.
    * ``places``: where landmarks lie among each other (:class:`scn_tf.uncertainty.places.Places`). None: not known.
    * ``lowest_presence``: evidence below which a landmark is not in the image.
    * ``largest_strangeness``: above it, an image is of another kind.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    split: str
    images: int
    points: int
    folds: Annotated[int, pydantic.Field(ge=2)] | None = None
    decoder: str
    mean: Numbers
    deviation: tuple[Positive, ...]
    weights: Numbers
    offsets: Numbers
    factor: Positive
    power: Positive
    ellipses: tuple[Numbers, ...] = ()
    places: Places | None = None
    median: tuple[Numbers, ...]
    usual: tuple[tuple[Positive, ...], ...]
    lowest_presence: float
    largest_strangeness: Positive

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Calibration":
        kinds, landmarks = len(self.mean), len(self.offsets)
        tables = all(len(table) == landmarks and all(len(row) == kinds for row in table) for table in (self.median, self.usual))
        if not kinds == len(self.deviation) == len(self.weights) or not tables:
            raise ValueError("calibration: lists of different lengths")
        if self.places is not None and len(self.places.reference) != landmarks:
            raise ValueError(f"calibration: places: of {len(self.places.reference)} landmarks")
        if self.ellipses and not self._elliptic():
            raise ValueError("calibration: ellipses: no positive matrix of 2 x 2 or 3 x 3 numbers for each landmark")
        return self

    def _elliptic(self) -> bool:
        sizes = {len(row) for row in self.ellipses}
        if len(self.ellipses) != len(self.offsets) or sizes not in ({4}, {9}):
            return False
        matrices = known(self.ellipse_matrices)
        return bool(np.allclose(matrices, np.swapaxes(matrices, 1, 2)) and (np.linalg.eigvalsh(matrices) > 0).all())

    @property
    def source(self) -> str:
        """The images in words: ``val``, or ``train, 5 folds``."""
        return self.split if self.folds is None else f"{self.split}, {self.folds} folds"

    @property
    def ellipse_matrices(self) -> Array | None:
        """``ellipses`` as (N, d, d), None if there are none."""
        if not self.ellipses:
            return None
        dims = round(len(self.ellipses[0]) ** 0.5)
        return np.array(self.ellipses).reshape(-1, dims, dims)

    @property
    def error_model(self) -> ErrorModel:
        """The fitted model of errors."""
        return ErrorModel(*(np.array(values, "float32") for values in (self.mean, self.deviation, self.weights, self.offsets)))

    @property
    def ordinary(self) -> Ordinary:
        """Peaks of ordinary images."""
        return Ordinary(np.array(self.median, "float32"), np.array(self.usual, "float32"))
