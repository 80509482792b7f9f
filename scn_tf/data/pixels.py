"""Record whether a model needs the shape of an image's pixels. Training records it, and :mod:`scn_tf.runs.info` uses it."""

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
    """Known shape of the pixels.

    ``"fixed"`` if ``dataset.yaml`` states the pixel size, ``"header"`` if a header states pixels that are not square, else ``"square"``.

    Args:
        spacing_mm: spacing in ``dataset.yaml``.
        spacings: (d,) mm per pixel of each training image by its header; None if it states none.
    """
    if spacing_mm:
        return FIXED
    stated = (spacing for spacing in spacings if spacing is not None)
    return HEADER if any(np.ptp(spacing) > SQUARENESS * np.min(spacing) for spacing in stated) else SQUARE
