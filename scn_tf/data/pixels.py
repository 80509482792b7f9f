"""Whether a model must know the shape of an image's pixels: what training records; :mod:`scn_tf.runs.info` asks it of a model."""

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np

Aspect: TypeAlias = Literal["fixed", "header", "square"]
FIXED: Aspect = "fixed"
HEADER: Aspect = "header"
SQUARE: Aspect = "square"
SQUARENESS = 1e-4  # relative: a tenth of a pixel over a thousand
WHY = "The model was trained on images whose headers state pixels that are not square"


def aspect(spacing_mm: tuple[float, ...] | None, spacings: Iterable[np.ndarray | None]) -> Aspect:
    """``"fixed"`` where ``dataset.yaml`` states the pixel size, ``"header"`` where a header states pixels that are not square, else
    ``"square"``.

    Args:
        spacing_mm: of ``dataset.yaml``.
        spacings: (d,) mm per pixel of each training image by its header; None where it states none.
    """
    if spacing_mm:
        return FIXED
    stated = (spacing for spacing in spacings if spacing is not None)
    return HEADER if any(np.ptp(spacing) > SQUARENESS * np.min(spacing) for spacing in stated) else SQUARE
