"""What a model file stores so that its answers carry an error: facts that were measured on annotated images."""

from typing import Annotated

import numpy as np
import pydantic

from scn_tf.uncertainty.error_model import ErrorModel
from scn_tf.uncertainty.ordinary import Ordinary

Numbers = tuple[float, ...]
Positive = Annotated[float, pydantic.Field(gt=0)]


class Calibration(pydantic.BaseModel):
    """Measured facts of one model with one decoder. They hold for no other.

    Fields:

    * ``split``: name of the split whose images it was measured on, for messages. ``images``, ``points``: how many there were.
    * ``decoder``: value of ``heatmap.decoder`` at that time.
    * ``mean``, ``deviation``, ``weights`` (K,) and ``offsets`` (N,) of :class:`scn_tf.uncertainty.error_model.ErrorModel`.
    * ``factor``, ``power``: radius = factor * expected_error ** power, network pixels.
    * ``median``, ``usual``: (N, K) of :class:`scn_tf.uncertainty.ordinary.Ordinary`.
    * ``lowest_presence``: evidence below which a landmark is not in the image.
    * ``largest_strangeness``: above it, an image is of another kind.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    split: str
    images: int
    points: int
    decoder: str
    mean: Numbers
    deviation: tuple[Positive, ...]
    weights: Numbers
    offsets: Numbers
    factor: Positive
    power: Positive
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
        return self

    @property
    def error_model(self) -> ErrorModel:
        """The fitted model of errors."""
        return ErrorModel(*(np.array(values, "float32") for values in (self.mean, self.deviation, self.weights, self.offsets)))

    @property
    def ordinary(self) -> Ordinary:
        """Peaks of ordinary images."""
        return Ordinary(np.array(self.median, "float32"), np.array(self.usual, "float32"))
