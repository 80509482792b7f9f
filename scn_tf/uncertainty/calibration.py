"""What a model file stores so that its answers carry an error: facts that were measured on annotated images."""

from typing import Annotated

import numpy as np
import pydantic

from scn_tf.uncertainty.error_model import ErrorModel

Numbers = tuple[float, ...]
Positive = Annotated[float, pydantic.Field(gt=0)]


class Calibration(pydantic.BaseModel):
    """Measured facts of one model with one decoder. They hold for no other.

    Attributes:
        split: name of the split whose images it was measured on, for messages.
        images, points: how many there were.
        decoder: value of ``heatmap.decoder`` at that time.
        mean, deviation, weights: (K,), and offsets: (N,) of :class:`scn_tf.uncertainty.error_model.ErrorModel`.
        factor, power: radius = factor * expected_error ** power, network pixels.
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

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Calibration":
        if not len(self.mean) == len(self.deviation) == len(self.weights):
            raise ValueError("calibration: lists of different lengths")
        return self

    @property
    def error_model(self) -> ErrorModel:
        """The fitted model of errors."""
        return ErrorModel(*(np.array(values, "float32") for values in (self.mean, self.deviation, self.weights, self.offsets)))
