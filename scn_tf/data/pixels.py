"""Whether a model must know the shape of an image's pixels: what training records, and what prediction and exports ask."""

from collections.abc import Iterable

import numpy as np

from scn_tf.types import Metadata

ASPECT = "pixel_aspect"  # key of a model's metadata; models of earlier versions have none
FIXED, HEADER, SQUARE = "fixed", "header", "square"
SQUARENESS = 1e-4  # relative: a tenth of a pixel over a thousand
WHY = "The model was trained on images whose headers state pixels that are not square"


def aspect(spacing_mm: tuple[float, ...] | None, spacings: Iterable[np.ndarray | None]) -> str:
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


def needs_spacing(metadata: Metadata) -> bool:
    """Whether an image without a pixel size would be prepared otherwise than those that the model was trained on."""
    return metadata.get(ASPECT) == HEADER and not metadata["spacing_mm"]


def why_needed(metadata: Metadata) -> str | None:
    """Why a model cannot use an image without a pixel size; None if it can."""
    if needs_spacing(metadata):
        return WHY
    millimetres = metadata["config"]["model"]["spacing_mm"]
    return None if millimetres is None else f"The model sees images at {millimetres:g} mm per pixel (model.spacing_mm)"
