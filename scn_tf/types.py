"""Types shared by several modules. Docstrings of the functions state the shapes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from scn_tf.presence import known as known


class Tensor(Protocol):
    """Argument and result of functions on ``keras.ops``: a tensor of the backend, a variable or a NumPy array.

    Functions that need TensorFlow use ``tf.Tensor``.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, index: Any, /) -> Any: ...
    def __neg__(self) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __rtruediv__(self, other: Any, /) -> Any: ...
    def __pow__(self, other: Any, /) -> Any: ...
    def __rpow__(self, other: Any, /) -> Any: ...
    def __mod__(self, other: Any, /) -> Any: ...
    def __floordiv__(self, other: Any, /) -> Any: ...
    def __lt__(self, other: Any, /) -> Any: ...
    def __le__(self, other: Any, /) -> Any: ...
    def __gt__(self, other: Any, /) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...


class Located(NamedTuple):
    """Answers of a model for B images of the network's size. Lengths are in network pixels.

    Attributes:
        landmarks: (B, N, d).
        scores: (B, N), the heatmaps' maxima.
        expected_error: (B, N), expected distance from the true point. None, as the following: the model is not calibrated.
        radius95: (B, N), radius that contains the true point with a probability of 95 %.
        present: (B, N), 1 if the landmark is in the image, else 0.
        image_ok: (B,), 1 if the image is of the kind that the model was trained on, else 0.
        statistics: (B, N, K), what the maps show. Only where a model is being calibrated.
    """

    landmarks: Tensor
    scores: Tensor
    expected_error: Tensor | None = None
    radius95: Tensor | None = None
    present: Tensor | None = None
    image_ok: Tensor | None = None
    statistics: Tensor | None = None


LENGTHS = ("expected_error", "radius95")  # fields of Located that are converted with the unit


def mapped(located: Located, function: Callable[[Any], Any]) -> Located:
    """Answers with a function applied to each tensor that is there."""
    return Located(**{name: function(values) for name, values in located._asdict().items() if values is not None})


class Estimates(NamedTuple):
    """How far the N points of one image can be trusted.

    Attributes:
        unit: ``"mm"``, or ``"px"`` of the image where its pixel size is not known.
        expected_error: (N,), expected distance from the true point.
        radius95: (N,), radius that contains the true point with a probability of 95 %.
        present: (N,) bool, whether the landmark is in the image. None: not known.
        image_ok: whether the image is of the kind that the model was trained on. None: not known.
        doubtful: (N,) bool, whether the expected error is much larger than usual for the landmark. None: not known.
        usual_error: (N,), expected error of an average image. None: not known.
        ellipse95: (N, d, d), half-axes of an ellipse (ellipsoid) that contains the true point with a probability of 95 %. Each row is a
            vector from the found point to an end, along the axes of the coordinates, the longest first. None: not smaller than the circle.
        misplaced: (N,) bool, whether the point does not lie where the other points say. None: not known.
    """

    unit: str
    expected_error: np.ndarray
    radius95: np.ndarray
    present: np.ndarray | None = None
    image_ok: bool | None = None
    doubtful: np.ndarray | None = None
    usual_error: np.ndarray | None = None
    ellipse95: np.ndarray | None = None
    misplaced: np.ndarray | None = None


Array: TypeAlias = np.ndarray
Sizes: TypeAlias = Sequence[int]  # ([D,] H, W), or a whole shape: array order
Shape: TypeAlias = tuple[int | None, ...]  # of a Keras tensor: None is the batch
Vector: TypeAlias = Sequence[float] | Array  # (d,), x first
PathName: TypeAlias = str | Path

Peak: TypeAlias = float | Tensor  # height of a target, (N,) or of all
Decode: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]  # heatmaps -> landmarks, scores
Locate: TypeAlias = Callable[[Tensor], Located]  # images -> answers
Respond: TypeAlias = Callable[[Tensor], Mapping[str, Tensor]]  # images -> outputs of an export by name
Logs: TypeAlias = dict[str, Any] | None  # what Keras hands to callbacks
Example: TypeAlias = Mapping[str, Array]  # one image with its landmarks, see scn_tf.data.pipeline
